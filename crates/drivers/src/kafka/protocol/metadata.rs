//! Brokers, topics, and who leads their partitions.

use openmessaging::Result;

use super::super::wire::{Reader, Write};
use super::{METADATA, begin, end};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Node {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Partition {
    pub error: i16,
    pub index: i32,
    /// -1: none now.
    pub leader: i32,
    pub replicas: usize,
    pub in_sync: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Topic {
    pub error: i16,
    pub name: String,
    pub internal: bool,
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Metadata {
    pub nodes: Vec<Node>,
    pub controller: i32,
    pub topics: Vec<Topic>,
}

/// `None`: all topics. No topic is made by it.
pub(in super::super) fn request(client_id: &str, topics: Option<&[&str]>) -> Vec<u8> {
    let mut out = begin(METADATA, client_id);
    match topics {
        None => out.i32(-1),
        Some(topics) => {
            out.i32(topics.len() as i32);
            topics.iter().for_each(|topic| out.string(topic));
        }
    }
    out.i8(0);
    end(&mut out);
    out
}

pub(in super::super) fn answer(mut reader: Reader<'_>) -> Result<Metadata> {
    reader.i32()?;
    let nodes = reader.array(|each| {
        let node = Node { id: each.i32()?, host: each.string()?.to_owned(), port: each.i32()? as u16 };
        each.nullable_string()?;
        Ok(node)
    })?;
    reader.nullable_string()?;
    let controller = reader.i32()?;
    let topics = reader.array(|each| {
        let (error, name, internal) = (each.i16()?, each.string()?.to_owned(), each.bool()?);
        let partitions = each.array(|each| {
            let (error, index, leader, _epoch) = (each.i16()?, each.i32()?, each.i32()?, each.i32()?);
            let counts = [
                each.array(|each| each.i32())?.len(),
                each.array(|each| each.i32())?.len(),
                each.array(|each| each.i32())?.len(),
            ];
            Ok(Partition { error, index, leader, replicas: counts[0], in_sync: counts[1] })
        })?;
        Ok(Topic { error, name, internal, partitions })
    })?;
    Ok(Metadata { nodes, controller, topics })
}
