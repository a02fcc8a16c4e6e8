//! The optional metadata of a table map: what `binlog_row_metadata=MINIMAL` and `FULL` add.

use openmessaging_connector::Result;

use super::Cursor;

/// The fields as they stand (`Optional_metadata_fields` of `rows_event.h`). Each lists columns of one group only:
/// numeric ones for the signs, text ones for the charsets, and so on.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metadata<'a> {
    /// A bit for each numeric column, the most significant first: set where unsigned.
    pub signedness: Option<&'a [u8]>,
    pub charset: Option<Charsets>,
    pub enum_and_set_charset: Option<Charsets>,
    pub names: Option<Vec<&'a [u8]>>,
    pub set_labels: Vec<Vec<&'a [u8]>>,
    pub enum_labels: Vec<Vec<&'a [u8]>>,
    pub geometry_types: Vec<u64>,
    /// Indexes of the primary key's columns, in key order.
    pub primary_key: Vec<u64>,
    pub has_primary_key: bool,
}

/// Collation ids of the columns of one group.
#[derive(Debug, PartialEq)]
pub(super) enum Charsets {
    /// One for all, but for those listed by their index within the group.
    Default(u64, Vec<(u64, u64)>),
    Each(Vec<u64>),
}

impl Charsets {
    pub fn get(&self, index: usize) -> Option<u16> {
        let collation = match self {
            Self::Default(default, others) => others
                .iter()
                .find(|(at, _)| *at == index as u64)
                .map_or(*default, |(_, collation)| *collation),
            Self::Each(all) => *all.get(index)?,
        };
        u16::try_from(collation).ok()
    }
}

impl<'a> Metadata<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut cursor = Cursor::new(bytes, "table map event");
        while !cursor.is_empty() {
            let field = cursor.u8()?;
            let mut value = Cursor::new(cursor.lenenc_bytes()?, "table map event");
            match field {
                1 => found.signedness = Some(value.rest()),
                2 => found.charset = Some(default_charset(&mut value)?),
                3 => found.charset = Some(Charsets::Each(numbers(&mut value)?)),
                4 => found.names = Some(texts(&mut value)?),
                5 => found.set_labels = label_lists(&mut value)?,
                6 => found.enum_labels = label_lists(&mut value)?,
                7 => found.geometry_types = numbers(&mut value)?,
                8 => {
                    found.has_primary_key = true;
                    found.primary_key = numbers(&mut value)?;
                }
                9 => {
                    found.has_primary_key = true;
                    found.primary_key = pairs(&mut value)?.into_iter().map(|(column, _)| column).collect();
                }
                10 => found.enum_and_set_charset = Some(default_charset(&mut value)?),
                11 => found.enum_and_set_charset = Some(Charsets::Each(numbers(&mut value)?)),
                // Visibility, dimensions of vectors, and what later servers add.
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether the numeric column of that index within its group is unsigned.
    pub fn is_unsigned(&self, index: usize) -> bool {
        self.signedness
            .and_then(|bits| bits.get(index / 8))
            .is_some_and(|byte| byte >> (7 - index % 8) & 1 == 1)
    }
}

fn default_charset(value: &mut Cursor<'_>) -> Result<Charsets> {
    Ok(Charsets::Default(value.lenenc()?, pairs(value)?))
}

fn numbers(value: &mut Cursor<'_>) -> Result<Vec<u64>> {
    let mut list = Vec::new();
    while !value.is_empty() {
        list.push(value.lenenc()?);
    }
    Ok(list)
}

fn pairs(value: &mut Cursor<'_>) -> Result<Vec<(u64, u64)>> {
    let mut list = Vec::new();
    while !value.is_empty() {
        list.push((value.lenenc()?, value.lenenc()?));
    }
    Ok(list)
}

fn texts<'a>(value: &mut Cursor<'a>) -> Result<Vec<&'a [u8]>> {
    let mut list = Vec::new();
    while !value.is_empty() {
        list.push(value.lenenc_bytes()?);
    }
    Ok(list)
}

fn label_lists<'a>(value: &mut Cursor<'a>) -> Result<Vec<Vec<&'a [u8]>>> {
    let mut lists = Vec::new();
    while !value.is_empty() {
        let count = value.lenenc()?;
        let mut labels = Vec::new();
        for _ in 0..count {
            labels.push(value.lenenc_bytes()?);
        }
        lists.push(labels);
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_unknown_ones_skipped() {
        let bytes = [
            1,
            1,
            0b0100_0000,
            2,
            3,
            45,
            1,
            63,
            4,
            4,
            1,
            b'a',
            1,
            b'b',
            6,
            5,
            2,
            1,
            b'x',
            1,
            b'y',
            9,
            2,
            1,
            0,
            99,
            1,
            0,
        ];
        let metadata = Metadata::parse(&bytes).unwrap();
        assert!(!metadata.is_unsigned(0) && metadata.is_unsigned(1) && !metadata.is_unsigned(9));
        let charset = metadata.charset.unwrap();
        assert_eq!((charset.get(0), charset.get(1)), (Some(45), Some(63)));
        assert_eq!(metadata.names.unwrap(), [b"a", b"b"]);
        assert_eq!(metadata.enum_labels, [[b"x", b"y"]]);
        assert_eq!(metadata.primary_key, [1]);
    }

    #[test]
    fn a_count_of_labels_beyond_the_bytes_is_an_error() {
        assert!(Metadata::parse(&[5, 9, 254, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }
}
