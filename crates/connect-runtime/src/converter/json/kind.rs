//! What a value means beyond the scalar that carries it, worked out once for each schema.

use openmessaging_connector::{Logical, Schema};

use crate::converter::text::date::Fraction;

/// The part of a schema that decides how a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::converter) enum Kind {
    /// The scalar says it all.
    Any,
    Decimal {
        scale: u32,
    },
    /// Times and timestamps with this many digits of a second's fraction.
    Fraction(u8),
    Json,
    Geometry,
    Bits {
        length: u32,
    },
}

impl Kind {
    pub fn of(schema: &Schema) -> Self {
        match &schema.logical {
            Some(Logical::Decimal { scale, .. }) => Kind::Decimal { scale: *scale },
            Some(
                Logical::Time { precision }
                | Logical::Timestamp { precision }
                | Logical::TimestampTz { precision },
            ) => Kind::Fraction(*precision),
            Some(Logical::Json) => Kind::Json,
            Some(Logical::Geometry) => Kind::Geometry,
            Some(Logical::Bits { length }) => Kind::Bits { length: *length },
            _ => Kind::Any,
        }
    }

    /// How many digits of a second's fraction are written: those that are declared, else those that are needed.
    #[inline]
    pub fn fraction(self) -> Fraction {
        match self {
            Kind::Fraction(digits) => Fraction::Digits(digits),
            _ => Fraction::Shortest,
        }
    }
}

/// The one bit of a `BIT(1)`.
#[inline]
pub(in crate::converter) fn single_bit(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|byte| byte & 1 == 1)
}

/// SRID and well-known binary of a geometry's bytes.
pub(in crate::converter) fn geometry(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (srid, wkb) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_le_bytes(*srid), wkb))
}
