//! Query events: statements as text. With row format these are `BEGIN`, `COMMIT`, `SAVEPOINT` and DDL.

use std::borrow::Cow;

use openmessaging_connector::Result;

use super::{Cursor, compressed};

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Query<'a> {
    /// The default database when it ran; may be empty.
    pub database: Cow<'a, str>,
    /// The statement. The server logs it in UTF-8 or in the client's character set, which
    /// [`client_collation`](Self::client_collation) names; it is read by that.
    pub sql: Cow<'a, str>,
    /// The error that the statement ended with on the server, 0 for none.
    pub error_code: u16,
    pub thread_id: u32,
    /// `character_set_client` of the session as a collation id, where the event says it.
    pub client_collation: Option<u16>,
    /// `sql_mode` of the session, where the event says it. Bit 2 is `ANSI_QUOTES`.
    pub sql_mode: Option<u64>,
    /// `lc_time_names`, time zone and the like are not kept.
    pub xid: Option<u64>,
}

impl<'a> Query<'a> {
    pub(super) fn parse(body: &'a [u8], compressed: bool) -> Result<Self> {
        let mut cursor = Cursor::new(body, "query event");
        let thread_id = cursor.u32()?;
        cursor.u32()?;
        let database_length = usize::from(cursor.u8()?);
        let error_code = cursor.u16()?;
        let status_length = usize::from(cursor.u16()?);
        let status = StatusVariables::parse(cursor.take(status_length)?);
        let database = String::from_utf8_lossy(cursor.take(database_length)?);
        cursor.u8()?;
        let charset = status.client_collation.and_then(super::charset_of_collation).unwrap_or("utf8mb4");
        let sql = match compressed {
            true => {
                let inflated = compressed::inflate_event(cursor.rest())?;
                Cow::Owned(super::super::decode::decode_text(charset, &inflated).into_owned())
            }
            false => super::super::decode::decode_text(charset, cursor.rest()),
        };
        Ok(Self {
            database,
            sql,
            error_code,
            thread_id,
            client_collation: status.client_collation,
            sql_mode: status.sql_mode,
            xid: status.xid,
        })
    }
}

#[derive(Debug, Default, PartialEq)]
struct StatusVariables {
    client_collation: Option<u16>,
    sql_mode: Option<u64>,
    xid: Option<u64>,
}

impl StatusVariables {
    /// Reads the variables in front of the first that it does not know: their lengths are known by code only, and the
    /// server writes those that we need early.
    fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut cursor = Cursor::new(bytes, "query event");
        while !cursor.is_empty() && found.next(&mut cursor).is_ok_and(|known| known) {}
        found
    }

    fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<bool> {
        match cursor.u8()? {
            // Flags2, lc_time_names and so on, by `Query_event_status_vars` of `statement_events.h`.
            0 => drop(cursor.take(4)?),
            1 => self.sql_mode = Some(cursor.u64()?),
            // Catalog with a trailing zero (old) and without.
            2 => {
                let length = cursor.u8()?;
                cursor.take(usize::from(length) + 1)?;
            }
            3 => drop(cursor.take(4)?),
            4 => {
                self.client_collation = Some(cursor.u16()?);
                cursor.take(4)?;
            }
            // Time zone name, catalog.
            5 | 6 => {
                let length = cursor.u8()?;
                cursor.take(usize::from(length))?;
            }
            7 | 8 => drop(cursor.take(2)?),
            9 => drop(cursor.take(8)?),
            10 => drop(cursor.take(4)?),
            // Invoker: user and host.
            11 => {
                for _ in 0..2 {
                    let length = cursor.u8()?;
                    cursor.take(usize::from(length))?;
                }
            }
            // Updated database names, each with a trailing zero; 254 stands for more than 16.
            12 => {
                let count = cursor.u8()?;
                if count != 254 {
                    for _ in 0..count {
                        let length = cursor.rest().iter().position(|byte| *byte == 0);
                        cursor.take(length.map_or(usize::MAX, |length| length + 1))?;
                    }
                }
            }
            13 => drop(cursor.take(3)?),
            // MySQL: the commit timestamp's flag, the transaction that a DDL belongs to.
            16 => drop(cursor.take(1)?),
            17 => self.xid = Some(cursor.u64()?),
            18 => drop(cursor.take(2)?),
            19 | 20 => drop(cursor.take(1)?),
            // MariaDB: microseconds, the transaction that a DDL belongs to.
            128 => drop(cursor.take(3)?),
            129 => self.xid = Some(cursor.u64()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_session_behind_variables_it_skips() {
        let mut status = vec![0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 6, 3, b's', b't', b'd'];
        status.extend([4, 8, 0, 8, 0, 8, 0]);
        let found = StatusVariables::parse(&status);
        assert_eq!((found.client_collation, found.sql_mode), (Some(8), Some(4)));
        status.extend([12, 2, b'a', 0, b'b', 0, 200, 1]);
        assert_eq!(StatusVariables::parse(&status), found);
    }

    #[test]
    fn the_statement_is_read_in_the_character_set_of_the_client() {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 7, 0];
        body.extend([4, 8, 0, 8, 0, 8, 0]);
        body.extend(b"db\0COMMENT '\xe9'");
        let query = Query::parse(&body, false).unwrap();
        assert_eq!((&*query.database, &*query.sql), ("db", "COMMENT 'é'"));
    }
}
