//! Whether a value is what its schema says (S12).

use openmessaging_connector::{Logical, Schema, Type, Value};

/// What is wrong with the value, with the path to the place; `Ok` where it fits.
pub fn fits(schema: &Schema, value: &Value<'_>) -> Result<(), String> {
    check(schema, value, "value")
}

/// The same shape: equal but for being optional, which is a matter of the place where a struct stands.
pub fn same_shape(one: &Schema, other: &Schema) -> bool {
    std::ptr::eq(one, other)
        || (one.ty == other.ty
            && one.logical == other.logical
            && one.name == other.name
            && one.version == other.version)
}

fn check(schema: &Schema, value: &Value<'_>, path: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{path}: {value:?} {what} {:?} {:?}", schema.ty, schema.logical));
    match (&schema.ty, value) {
        (_, Value::Absent) => Ok(()),
        (_, Value::Null) if schema.optional => Ok(()),
        (_, Value::Null) => wrong("is null, which is not allowed by"),
        (Type::Struct(fields), Value::Struct(own, values)) => {
            if !same_shape(schema, own) {
                return Err(format!(
                    "{path}: a struct of {:?} stands where {:?} is declared",
                    own.name, schema.name
                ));
            }
            if fields.len() != values.len() {
                return Err(format!("{path}: {} values for {} fields", values.len(), fields.len()));
            }
            fields
                .iter()
                .zip(values)
                .try_for_each(|(field, value)| check(&field.schema, value, &format!("{path}.{}", field.name)))
        }
        (Type::Array(element), Value::Array(values)) => values
            .iter()
            .enumerate()
            .try_for_each(|(at, value)| check(element, value, &format!("{path}[{at}]"))),
        (Type::Map(keys, values), Value::Map(entries)) => entries.iter().try_for_each(|(key, value)| {
            check(keys, key, &format!("{path} key"))?;
            check(values, value, &format!("{path}[{key:?}]"))
        }),
        _ if scalar_fits(schema, value) => Ok(()),
        _ => wrong("does not fit"),
    }
}

fn scalar_fits(schema: &Schema, value: &Value<'_>) -> bool {
    match &schema.logical {
        Some(Logical::Decimal { scale, .. }) => {
            matches!(value, Value::Decimal(text) if is_decimal(text, *scale))
        }
        Some(Logical::Date) => matches!(value, Value::Date(_)),
        Some(Logical::Time { .. }) => matches!(value, Value::Time(_)),
        Some(Logical::Timestamp { .. }) => matches!(value, Value::Timestamp(_)),
        Some(Logical::TimestampTz { .. }) => matches!(value, Value::TimestampTz(_)),
        Some(Logical::Uuid) => matches!(value, Value::Str(text) if text.len() == 36),
        Some(Logical::Json) => {
            matches!(value, Value::Str(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
        }
        Some(Logical::Geometry) => matches!(value, Value::Bytes(bytes) if bytes.len() > 4),
        Some(Logical::Bits { length }) => {
            matches!(value, Value::Bytes(bytes) if bytes.len() == length.div_ceil(8) as usize)
        }
        Some(Logical::Enum { labels }) => {
            matches!(value, Value::Str(text) if text.is_empty() || labels.iter().any(|label| **label == **text))
        }
        Some(Logical::Set { labels }) => matches!(value, Value::Str(text) if text.is_empty()
            || text.split(',').all(|one| labels.iter().any(|label| **label == *one))),
        Some(Logical::Year | Logical::Envelope) | None => plain_fits(&schema.ty, value),
    }
}

fn plain_fits(ty: &Type, value: &Value<'_>) -> bool {
    let within = |min: i128, max: i128| match value {
        Value::I64(number) => (min..=max).contains(&i128::from(*number)),
        Value::U64(number) => (min..=max).contains(&i128::from(*number)),
        _ => false,
    };
    match ty {
        Type::Boolean => matches!(value, Value::Bool(_)),
        Type::Int8 => within(i8::MIN.into(), i8::MAX.into()),
        Type::Int16 => within(i16::MIN.into(), i16::MAX.into()),
        Type::Int32 => within(i32::MIN.into(), i32::MAX.into()),
        Type::Int64 => within(i64::MIN.into(), i64::MAX.into()),
        Type::UInt64 => within(0, u64::MAX.into()),
        Type::Float32 => matches!(value, Value::F32(_)),
        Type::Float64 => matches!(value, Value::F64(_)),
        Type::String => matches!(value, Value::Str(_)),
        Type::Bytes => matches!(value, Value::Bytes(_)),
        Type::Array(_) | Type::Map(..) | Type::Struct(_) => false,
    }
}

/// Sign, digits, and exactly `scale` digits behind a point (no point for a scale of 0).
fn is_decimal(text: &str, scale: u32) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        None => scale == 0 && digits(text),
        Some((whole, fraction)) => digits(whole) && digits(fraction) && fraction.len() == scale as usize,
    }
}

#[cfg(test)]
mod tests {
    use openmessaging_connector::Field;

    use super::*;

    #[test]
    fn tells_what_does_not_fit() {
        let row = Schema::structure("t", vec![Field::new("id", Schema::new(Type::Int8).shared())]).shared();
        let with = |values| Value::Struct(row.clone(), values);
        assert_eq!(fits(&row, &with(vec![Value::I64(127)])), Ok(()));
        assert!(fits(&row, &with(vec![Value::I64(128)])).unwrap_err().contains("value.id"));
        assert!(fits(&row, &with(vec![Value::Null])).is_err());
        assert!(fits(&row, &with(vec![])).unwrap_err().contains("0 values for 1 fields"));
        let price = Schema::logical(Type::Bytes, Logical::Decimal { precision: 5, scale: 2 });
        assert!(fits(&price, &Value::Decimal("-1.10".into())).is_ok());
        assert!(fits(&price, &Value::Decimal("1.1".into())).is_err());
    }
}
