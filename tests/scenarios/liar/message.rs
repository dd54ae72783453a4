//! Messages changed in one field, whatever their type: by the descriptors and the wire format.

use std::collections::BTreeMap;

use escrow_vault::wire::DESCRIPTORS;
use prost::Message as _;
use prost::encoding::{decode_varint, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

/// What is done to one field, or to one element of a repeated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Another value of the same length.
    Altered,
    /// Left out.
    Dropped,
    /// Told twice.
    Repeated,
    /// Swapped with its neighbour.
    Reordered,
}

/// A field inside a reply.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// The call, and names from the reply's message on: "Read entries.salt".
    pub name: String,
    path: Vec<u32>,
    kind: Type,
    repeated: bool,
}

impl Field {
    /// What can be done to it.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = vec![Change::Dropped];
        if self.kind != Type::Message {
            changes.push(Change::Altered);
        }
        if self.repeated {
            changes.extend([Change::Repeated, Change::Reordered]);
        }
        changes
    }

    /// Does it in the first part that has the field. `None` where that changes nothing.
    pub(crate) fn change(&self, parts: &[Vec<u8>], change: Change) -> Option<Vec<Vec<u8>>> {
        let mut changed = parts.to_vec();
        let done = changed.iter_mut().find_map(|part| {
            *part = self.change_one(part, &self.path, change)?;
            Some(())
        });
        done.map(|()| changed)
    }

    fn change_one(&self, message: &[u8], path: &[u32], change: Change) -> Option<Vec<u8>> {
        let mut values = read(message);
        let (number, below) = path.split_first()?;
        let places = values.iter().enumerate().filter(|(_, value)| value.number == *number);
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        // The second of several: it has a neighbour on either side.
        let Some(place) = places.get(1).or(places.first()).copied() else {
            // What is empty is not written at all.
            let absent = change == Change::Altered && self.kind == Type::String && !self.repeated;
            return absent.then(|| {
                values.push(Value { number: *number, wire: LENGTH, bytes: b"x".to_vec() });
                write(&values)
            });
        };
        if !below.is_empty() {
            values[place].bytes = self.change_one(&values[place].bytes, below, change)?;
            return Some(write(&values));
        }
        match change {
            Change::Altered => alter(&mut values[place], self.kind),
            Change::Dropped => drop(values.remove(place)),
            Change::Repeated => values.insert(place, values[place].clone()),
            Change::Reordered => values.swap(*places.first()?, *places.get(1)?),
        }
        Some(write(&values))
    }
}

/// Every field of every reply of the protocol.
pub(crate) fn every_field() -> Vec<Field> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = set.file.iter().filter(|file| file.package() == "escrow.vault.v1");
    let messages: BTreeMap<String, &DescriptorProto> = ours
        .clone()
        .flat_map(|file| &file.message_type)
        .map(|message| (format!(".escrow.vault.v1.{}", message.name()), message))
        .collect();
    let methods = ours.flat_map(|file| &file.service).flat_map(|service| &service.method);
    let mut fields = Vec::new();
    for method in methods {
        let reply = messages[method.output_type()];
        collect(&messages, reply, &format!("{} ", method.name()), &[], &mut fields);
    }
    fields
}

fn collect(
    messages: &BTreeMap<String, &DescriptorProto>,
    message: &DescriptorProto,
    prefix: &str,
    path: &[u32],
    into: &mut Vec<Field>,
) {
    for field in &message.field {
        let name = format!("{prefix}{}", field.name());
        let path = [path, &[field.number().cast_unsigned()]].concat();
        let (kind, repeated) = (field.r#type(), field.label() == Label::Repeated);
        if let Some(inner) = messages.get(field.type_name()) {
            collect(messages, inner, &format!("{name}."), &path, into);
        }
        into.push(Field { name, path, kind, repeated });
    }
}

const VARINT: u64 = 0;
const LENGTH: u64 = 2;

/// A field's value as it is on the wire.
#[derive(Clone)]
struct Value {
    number: u32,
    wire: u64,
    bytes: Vec<u8>,
}

fn read(mut message: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    while !message.is_empty() {
        let key = decode_varint(&mut message).unwrap();
        let (number, wire) = (u32::try_from(key >> 3).unwrap(), key & 7);
        let number_or_length = decode_varint(&mut message).unwrap();
        let bytes = match wire {
            VARINT => number_or_length.to_be_bytes().to_vec(),
            LENGTH => {
                let length = usize::try_from(number_or_length).unwrap();
                let (bytes, rest) = message.split_at(length);
                message = rest;
                bytes.to_vec()
            }
            other => panic!("no field of ours has wire type {other}"),
        };
        values.push(Value { number, wire, bytes });
    }
    values
}

fn write(values: &[Value]) -> Vec<u8> {
    let mut message = Vec::new();
    for Value { number, wire, bytes } in values {
        encode_varint(u64::from(*number) << 3 | wire, &mut message);
        match *wire {
            VARINT => {
                let number = u64::from_be_bytes(bytes.as_slice().try_into().unwrap());
                encode_varint(number, &mut message);
            }
            _ => {
                encode_varint(bytes.len() as u64, &mut message);
                message.extend(bytes);
            }
        }
    }
    message
}

fn alter(value: &mut Value, kind: Type) {
    let length = value.bytes.len();
    if value.wire == VARINT {
        // Larger than whatever follows.
        value.bytes[5] ^= 1 << 4;
    } else if kind == Type::String {
        // Another name of the same form.
        value.bytes[length - 1] ^= if value.bytes[length - 1] == b'a' { 3 } else { 1 };
    } else {
        value.bytes[length / 2] ^= 1;
    }
}
