//! The two requests that carry an authentication.

use openmessaging::Result;

use super::super::wire::{Reader, Write};
use super::{SASL_AUTHENTICATE, SASL_HANDSHAKE, begin, end};

pub(in super::super) fn handshake(client_id: &str, mechanism: &str) -> Vec<u8> {
    let mut out = begin(SASL_HANDSHAKE, client_id);
    out.string(mechanism);
    end(&mut out);
    out
}

/// The error code, and the mechanisms that the broker has.
pub(in super::super) fn handshake_answer(mut reader: Reader<'_>) -> Result<(i16, Vec<String>)> {
    Ok((reader.i16()?, reader.array(|each| each.string().map(str::to_owned))?))
}

pub(in super::super) fn authenticate(client_id: &str, token: &[u8]) -> Vec<u8> {
    let mut out = begin(SASL_AUTHENTICATE, client_id);
    out.bytes(token);
    end(&mut out);
    out
}

/// The error code, what the broker says about it, and its side of the exchange.
pub(in super::super) fn authenticate_answer(mut reader: Reader<'_>) -> Result<(i16, String, Vec<u8>)> {
    Ok((reader.i16()?, reader.string()?.to_owned(), reader.bytes()?.to_vec()))
}
