//! What an encoder derives from a schema and keeps by the schema's pointer: escaped names, kinds, where a value's parts
//! are described.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use openmessaging_connector::{Schema, Type};

use super::kind::Kind;
use super::writer::{Format, Keys, OnNull, encode_default};

/// When the plans hold more than this they are dropped and made again as needed: a source of ten thousand tables
/// pays for it now and then, and memory stays bounded.
const MAX_BYTES: usize = 8 << 20;

/// The longest name, with its quotes, comma and colon, that is copied as a short one.
const SHORT: usize = 16;

/// Index of a node; [`ANY`] describes nothing.
pub(in crate::converter) type NodeId = u32;

/// The node of values without schema.
pub(in crate::converter) const ANY: NodeId = 0;

#[derive(Debug)]
pub(in crate::converter) enum Node {
    Any,
    Struct(StructPlan),
    Array { element: Slot },
    Map { form: Keys, key: Slot, value: Slot },
}

/// How one value is written.
#[derive(Debug, Clone, Copy)]
pub(in crate::converter) struct Slot {
    pub kind: Kind,
    pub node: NodeId,
}

impl Slot {
    pub const ANY: Slot = Slot { kind: Kind::Any, node: ANY };
}

#[derive(Debug)]
pub(in crate::converter) struct StructPlan {
    pub schema: Arc<Schema>,
    /// Where its members are among those of all plans.
    pub first: u32,
    pub end: u32,
}

#[derive(Debug)]
pub(in crate::converter) struct Member {
    pub slot: Slot,
    pub null: OnNull,
    start: u32,
    length: u32,
}

/// A top-level schema with the text that stands before each of its values.
#[derive(Debug)]
pub(in crate::converter) struct Root {
    pub slot: Slot,
    pub header: Vec<u8>,
}

/// All plans of one encoder.
#[derive(Debug)]
pub(in crate::converter) struct Plans {
    nodes: Vec<Node>,
    members: Vec<Member>,
    /// `,"name":` of all members, one behind the other, and [`SHORT`] bytes behind the last.
    names: Vec<u8>,
    by_schema: ByPointer<NodeId>,
    roots: ByPointer<Root>,
    /// Every schema that is known by its address here, so that no other takes it.
    held: Vec<Arc<Schema>>,
    bytes: usize,
}

impl Plans {
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::Any],
            members: Vec::new(),
            names: vec![0; SHORT],
            by_schema: HashMap::default(),
            roots: HashMap::default(),
            held: Vec::new(),
            bytes: 0,
        }
    }

    /// Drops everything when it has grown too large. Only between values: node ids do not survive it.
    pub fn trim(&mut self) {
        if self.bytes > MAX_BYTES {
            *self = Self::new();
        }
    }

    #[inline]
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::Any)
    }

    #[inline]
    pub fn member(&self, at: u32) -> Option<&Member> {
        self.members.get(at as usize)
    }

    /// Appends `"name":` behind `separator`. A copy of a constant length is an instruction or two, so short names are
    /// copied with what follows them, which is cut off again.
    #[inline]
    pub fn push_name(&self, out: &mut Vec<u8>, member: &Member, separator: u8) {
        let names = self.names.get(member.start as usize..).unwrap_or_default();
        let length = member.length as usize;
        let start = out.len();
        match names.first_chunk::<SHORT>() {
            Some(chunk) if length <= SHORT => {
                out.extend_from_slice(chunk);
                out.truncate(start + length);
            }
            _ => out.extend_from_slice(names.get(..length).unwrap_or_default()),
        }
        // written over only where it must be: a byte changed before the copy would make the copy wait for it
        if separator != b','
            && let Some(first) = out.get_mut(start)
        {
            *first = separator;
        }
    }

    pub fn root<F: Format>(&mut self, schema: &Arc<Schema>, format: &F) -> &Root {
        let pointer = Arc::as_ptr(schema) as usize;
        if !self.roots.contains_key(&pointer) {
            let slot = self.slot(schema, format);
            let mut header = Vec::new();
            format.header(Some(schema), &mut header);
            self.bytes += header.len() + 128;
            self.held.push(schema.clone());
            self.roots.insert(pointer, Root { slot, header });
        }
        &self.roots[&pointer]
    }

    pub fn slot<F: Format>(&mut self, schema: &Arc<Schema>, format: &F) -> Slot {
        let kind = Kind::of(schema);
        let node = match &schema.ty {
            // a geometry is a scalar, whatever type it is declared with
            Type::Struct(_) | Type::Array(_) | Type::Map(..) if kind == Kind::Any => {
                self.compile(schema, format)
            }
            _ => ANY,
        };
        Slot { kind, node }
    }

    /// The node of a struct, an array or a map.
    pub fn compile<F: Format>(&mut self, schema: &Arc<Schema>, format: &F) -> NodeId {
        let pointer = Arc::as_ptr(schema) as usize;
        if let Some(id) = self.by_schema.get(&pointer) {
            return *id;
        }
        let node = match &schema.ty {
            Type::Array(element) => Node::Array { element: self.slot(element, format) },
            Type::Map(key, value) => {
                let form = format.keys(Some(key));
                Node::Map { form, key: self.slot(key, format), value: self.slot(value, format) }
            }
            _ => self.structure(schema, format),
        };
        let id = self.nodes.len() as NodeId;
        self.nodes.push(node);
        self.bytes += 256;
        self.held.push(schema.clone());
        self.by_schema.insert(pointer, id);
        id
    }

    fn structure<F: Format>(&mut self, schema: &Arc<Schema>, format: &F) -> Node {
        // the members of inner structs come first, so that these lie side by side
        let mut members: Vec<Member> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let null = match format.null(&field.schema) {
                OnNull::Default(_) => OnNull::Default(encode_default(format, &field.schema)),
                null => null,
            };
            members.push(Member { slot: self.slot(&field.schema, format), null, start: 0, length: 0 });
        }
        let first = self.members.len() as u32;
        let before = self.names.len();
        self.names.truncate(before - SHORT);
        for (field, member) in schema.fields().iter().zip(&mut members) {
            member.start = self.names.len() as u32;
            self.names.push(b',');
            format.string(&mut self.names, &field.name);
            self.names.push(b':');
            member.length = self.names.len() as u32 - member.start;
        }
        self.names.resize(self.names.len() + SHORT, 0);
        self.bytes += self.names.len() - before + members.len() * size_of::<Member>();
        self.members.append(&mut members);
        Node::Struct(StructPlan { schema: schema.clone(), first, end: self.members.len() as u32 })
    }
}

/// A map by the address of a schema, which is held as long as the entry is.
pub(in crate::converter) type ByPointer<T> = HashMap<usize, T, BuildHasherDefault<PointerHasher>>;

/// Spreads addresses, which are all multiples of a power of two. Nobody from outside chooses them.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::converter) struct PointerHasher(u64);

impl Hasher for PointerHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        let mixed = (self.0 ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
