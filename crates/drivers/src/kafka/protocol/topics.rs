//! Making and deleting topics, deleting records, reading settings.

use openmessaging::Result;

use super::super::wire::{Reader, Write};
use super::{Api, DELETE_RECORDS, DELETE_TOPICS, DESCRIBE_CONFIGS, begin, end};

/// A topic to be made.
pub(in super::super) struct NewTopic<'a> {
    pub name: &'a str,
    pub partitions: i32,
    /// -1: as many as the broker's default says.
    pub replicas: i16,
    pub settings: &'a [(String, String)],
}

pub(in super::super) fn create(client_id: &str, api: Api, topic: &NewTopic<'_>, timeout_ms: i32) -> Vec<u8> {
    let mut out = begin(api, client_id);
    out.i32(1);
    out.string(topic.name);
    out.i32(topic.partitions);
    out.i16(topic.replicas);
    out.i32(0);
    out.i32(topic.settings.len() as i32);
    for (name, value) in topic.settings {
        out.string(name);
        out.string(value);
    }
    out.i32(timeout_ms);
    out.i8(0);
    end(&mut out);
    out
}

/// The error code, and what the broker says about it.
pub(in super::super) fn create_answer(mut reader: Reader<'_>) -> Result<(i16, String)> {
    reader.i32()?;
    let results = reader.array(|each| {
        each.string()?;
        Ok((each.i16()?, each.string()?.to_owned()))
    })?;
    Ok(results.into_iter().next().unwrap_or_default())
}

pub(in super::super) fn delete(client_id: &str, topic: &str, timeout_ms: i32) -> Vec<u8> {
    let mut out = begin(DELETE_TOPICS, client_id);
    out.i32(1);
    out.string(topic);
    out.i32(timeout_ms);
    end(&mut out);
    out
}

pub(in super::super) fn delete_answer(mut reader: Reader<'_>) -> Result<i16> {
    reader.i32()?;
    let results = reader.array(|each| {
        each.string()?;
        each.i16()
    })?;
    Ok(results.first().copied().unwrap_or_default())
}

/// Everything before `offset` goes.
pub(in super::super) fn delete_records(
    client_id: &str,
    topic: &str,
    partition: i32,
    offset: i64,
    timeout_ms: i32,
) -> Vec<u8> {
    let mut out = begin(DELETE_RECORDS, client_id);
    out.i32(1);
    out.string(topic);
    out.i32(1);
    out.i32(partition);
    out.i64(offset);
    out.i32(timeout_ms);
    end(&mut out);
    out
}

pub(in super::super) fn delete_records_answer(mut reader: Reader<'_>) -> Result<i16> {
    reader.i32()?;
    let results = super::topics_of(&mut reader, |_, each| {
        each.i32()?;
        each.i64()?;
        each.i16()
    })?;
    Ok(results.first().copied().unwrap_or_default())
}

pub(in super::super) const TOPIC: i8 = 2;
pub(in super::super) const BROKER: i8 = 4;

/// The settings of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Settings {
    pub error: i16,
    pub name: String,
    pub values: Vec<(String, String)>,
}

impl Settings {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(in super::super) fn describe_configs(
    client_id: &str,
    kind: i8,
    resources: &[String],
    names: &[&str],
) -> Vec<u8> {
    let mut out = begin(DESCRIBE_CONFIGS, client_id);
    out.i32(resources.len() as i32);
    for resource in resources {
        out.i8(kind);
        out.string(resource);
        out.i32(names.len() as i32);
        names.iter().for_each(|name| out.string(name));
    }
    out.i8(0);
    end(&mut out);
    out
}

pub(in super::super) fn describe_configs_answer(mut reader: Reader<'_>) -> Result<Vec<Settings>> {
    reader.i32()?;
    reader.array(|each| {
        let error = each.i16()?;
        each.string()?;
        each.i8()?;
        let name = each.string()?.to_owned();
        let values = each.array(|each| {
            let value = (each.string()?.to_owned(), each.string()?.to_owned());
            // Read only, where it comes from, whether it is a secret.
            each.take(3)?;
            each.array(|each| Ok((each.string()?, each.string()?, each.i8()?)).map(|_| ()))?;
            Ok(value)
        })?;
        Ok(Settings { error, name, values })
    })
}
