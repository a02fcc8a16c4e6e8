//! A document taken apart, so that it can be changed.

use std::borrow::Cow;

use super::print;
use super::value::{Container, Parsed, Raw};

#[derive(Debug, Clone)]
pub(super) enum Node<'a> {
    Scalar(Raw<'a>),
    Array(Vec<Node<'a>>),
    /// In the server's order of keys: by length, then by bytes.
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// `budget` and `depth` as for [`print::value`].
    pub fn parse(raw: Raw<'a>, budget: &mut usize, depth: usize) -> Result<Self, String> {
        *budget = budget.checked_sub(1).ok_or("the JSON document uses its bytes more than once")?;
        let deeper = || depth.checked_sub(1).ok_or("the JSON document is nested too deeply");
        Ok(match raw.parse()? {
            Parsed::Array(container) => Self::Array(elements(container, budget, deeper()?)?),
            Parsed::Object(container) => Self::Object(members(container, budget, deeper()?)?),
            _ => Self::Scalar(raw),
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Scalar(raw) => print::scalar(*raw, out)?,
            Self::Array(nodes) => {
                out.push(b'[');
                for (index, node) in nodes.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    node.write(out)?;
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (index, (key, node)) in members.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    print::string(key, out);
                    out.extend_from_slice(b": ");
                    node.write(out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

fn elements<'a>(container: Container<'a>, budget: &mut usize, depth: usize) -> Result<Vec<Node<'a>>, String> {
    (0..container.count).map(|index| Node::parse(container.value(index)?, budget, depth)).collect()
}

type Members<'a> = Vec<(Cow<'a, [u8]>, Node<'a>)>;

fn members<'a>(container: Container<'a>, budget: &mut usize, depth: usize) -> Result<Members<'a>, String> {
    let member = |index| -> Result<_, String> {
        Ok((Cow::Borrowed(container.key(index)?), Node::parse(container.value(index)?, budget, depth)?))
    };
    (0..container.count).map(member).collect()
}
