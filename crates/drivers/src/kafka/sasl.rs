//! Authentication: PLAIN, and SCRAM as in RFC 5802 and RFC 7677.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use openmessaging::{Error, Result, StatusCode};
use sha2::{Digest, Sha256, Sha512};

use super::config::Login;

/// More rounds than any server asks for would only keep this process busy.
const MAX_ROUNDS: u32 = 10_000_000;

/// One exchange of messages with a server.
pub(super) enum Exchange {
    Plain,
    Scram { sha512: bool, nonce: String, state: State },
}

pub(super) enum State {
    First,
    /// What was said, and the signature that the server must show.
    Final {
        signature: Vec<u8>,
    },
    Done,
}

/// What `PLAIN` sends: no identity to act for, the user, the password.
fn plain(login: &Login) -> Vec<u8> {
    format!("\0{}\0{}", login.user, login.password.reveal()).into_bytes()
}

impl Exchange {
    /// `nonce`: printable, new for each exchange.
    pub fn new(login: &Login, nonce: String) -> Self {
        match login.mechanism {
            "SCRAM-SHA-256" => Self::Scram { sha512: false, nonce, state: State::First },
            "SCRAM-SHA-512" => Self::Scram { sha512: true, nonce, state: State::First },
            _ => Self::Plain,
        }
    }

    /// The first message of the client.
    pub fn first(&self, login: &Login) -> Vec<u8> {
        match self {
            Self::Plain => plain(login),
            Self::Scram { nonce, .. } => format!("n,,{}", bare(login, nonce)).into_bytes(),
        }
    }

    /// The answer to what the server said; `None`: it is done, and the server is who it must be.
    pub fn next(&mut self, login: &Login, server: &[u8]) -> Result<Option<Vec<u8>>> {
        let Self::Scram { sha512, nonce, state } = self else { return Ok(None) };
        let said = std::str::from_utf8(server).map_err(|_| refused("its message is not text"))?;
        if let Some(why) = attribute(said, "e=") {
            return Err(refused(why));
        }
        match std::mem::replace(state, State::Done) {
            State::First => {
                let (answer, signature) = if *sha512 {
                    prove::<Sha512Kind>(login, nonce, said)?
                } else {
                    prove::<Sha256Kind>(login, nonce, said)?
                };
                *state = State::Final { signature };
                Ok(Some(answer))
            }
            State::Final { signature } => {
                let shown = attribute(said, "v=").and_then(|text| STANDARD.decode(text).ok());
                if shown.as_deref() != Some(&signature[..]) {
                    return Err(refused("it does not know the password itself"));
                }
                Ok(None)
            }
            State::Done => Ok(None),
        }
    }
}

fn refused(why: &str) -> Error {
    Error::new(StatusCode::Unauthorized, format!("the server's side of SCRAM is wrong: {why}"))
        .with_remedy("look at user, password and sasl.mechanism")
}

/// The client's first message without its head. In names `=` and `,` are written otherwise.
fn bare(login: &Login, nonce: &str) -> String {
    format!("n={},r={nonce}", login.user.replace('=', "=3D").replace(',', "=2C"))
}

fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

/// The client's proof, and what the server must show for its own.
fn prove<K: Kind>(login: &Login, nonce: &str, server_first: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let part = |name| attribute(server_first, name).ok_or_else(|| refused("a part is missing"));
    let (whole_nonce, rounds) = (part("r=")?, part("i=")?);
    let salt = STANDARD.decode(part("s=")?).map_err(|_| refused("the salt is not base64"))?;
    if !whole_nonce.starts_with(nonce) || whole_nonce.len() == nonce.len() {
        return Err(refused("it answers somebody else"));
    }
    let rounds = rounds.parse().ok().filter(|rounds| (1..=MAX_ROUNDS).contains(rounds));
    let rounds = rounds.ok_or_else(|| refused("its number of rounds is not usable"))?;
    let salted = K::salted(login.password.reveal().as_bytes(), &salt, rounds);
    let client_key = K::hmac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={whole_nonce}");
    let all = format!("{},{server_first},{without_proof}", bare(login, nonce));
    let signature = K::hmac(&K::hash(&client_key), all.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server = K::hmac(&K::hmac(&salted, b"Server Key"), all.as_bytes());
    Ok((format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes(), server))
}

/// A hash function, as SCRAM uses it.
trait Kind {
    fn hash(data: &[u8]) -> Vec<u8>;
    fn hmac(key: &[u8], data: &[u8]) -> Vec<u8>;
    fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8>;
}

struct Sha256Kind;
struct Sha512Kind;

macro_rules! kind {
    ($name:ident, $hash:ty, $length:literal) => {
        impl Kind for $name {
            fn hash(data: &[u8]) -> Vec<u8> {
                <$hash>::digest(data).to_vec()
            }

            fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
                // Keys may have any length: there is no error to come.
                Hmac::<$hash>::new_from_slice(key)
                    .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec())
                    .unwrap_or_default()
            }

            fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
                let mut out = vec![0; $length];
                // The only error is an output that is too long.
                let _ = pbkdf2::pbkdf2::<Hmac<$hash>>(password, salt, rounds, &mut out);
                out
            }
        }
    };
}

kind!(Sha256Kind, Sha256, 32);
kind!(Sha512Kind, Sha512, 64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::credentials::Secret;

    fn login(mechanism: &'static str) -> Login {
        Login { mechanism, user: "user".into(), password: Secret::new("pencil") }
    }

    /// The example of RFC 7677, section 3.
    #[test]
    fn scram_is_as_in_its_specification() {
        let login = login("SCRAM-SHA-256");
        let mut exchange = Exchange::new(&login, "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(exchange.first(&login), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = exchange.next(&login, server.as_bytes()).expect("answered").expect("not done");
        assert_eq!(
            String::from_utf8_lossy(&answer),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let last = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert!(exchange.next(&login, last).expect("the server is right").is_none());
    }

    #[test]
    fn a_server_that_is_wrong_is_refused() {
        let login = login("SCRAM-SHA-512");
        for said in [
            "e=other-error",
            "r=else,s=AAAA,i=4096",
            "r=abcX,s=AAAA,i=0",
            "r=abcX,s=!,i=1",
            "r=abc,s=AA==,i=1",
        ] {
            let mut exchange = Exchange::new(&login, "abc".into());
            let error = exchange.next(&login, said.as_bytes()).expect_err(said);
            assert!(error.status == StatusCode::Unauthorized && !error.to_string().contains("pencil"));
        }
        let mut exchange = Exchange::new(&login, "abc".into());
        exchange.next(&login, b"r=abcX,s=AAAA,i=10").expect("proved");
        assert!(exchange.next(&login, b"v=AAAA").is_err(), "a server without the password");
    }

    #[test]
    fn plain_is_user_and_password() {
        let login = login("PLAIN");
        let mut exchange = Exchange::new(&login, String::new());
        assert_eq!(exchange.first(&login), b"\0user\0pencil");
        assert!(exchange.next(&login, b"").expect("done").is_none());
    }
}
