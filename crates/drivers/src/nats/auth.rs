//! As whom a connection comes: what its CONNECT says.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use openmessaging::{Error, Result, StatusCode};
use serde_json::{Map, Value};

use crate::common::credentials::Secret;

/// A private key. It is never printed.
#[derive(Clone)]
pub(super) struct Seed(Arc<KeyPair>);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

#[derive(Debug, Clone)]
pub(super) enum Auth {
    None,
    User(String, Secret),
    Token(Secret),
    NKey(Seed),
    /// A JWT, and the key that it is about.
    Jwt(Secret, Seed),
}

/// # Errors
/// It is no seed.
pub(super) fn from_seed(seed: &str) -> std::result::Result<Auth, ()> {
    key(seed).map(Auth::NKey)
}

fn key(seed: &str) -> std::result::Result<Seed, ()> {
    KeyPair::from_seed(seed.trim()).map(|pair| Seed(Arc::new(pair))).map_err(|_| ())
}

/// Reads a `.creds` file: two blocks, each between a line that begins with `-----BEGIN` and one with `------END` (source:
/// the NATS documentation, "Credentials files").
pub(super) fn from_file(property: &str, file: &str) -> Result<Auth> {
    let unusable = |why: &dyn fmt::Display| {
        Error::new(StatusCode::BadParameter, format!("{property} names {file}, which cannot be used: {why}"))
            .with_remedy("name a file that nsc wrote (nsc generate creds), readable by this process")
    };
    let text = std::fs::read_to_string(file).map_err(|error| unusable(&error))?;
    let (Some(jwt), Some(seed)) = (block(&text, "USER JWT"), block(&text, "SEED")) else {
        return Err(unusable(&"it does not hold a JWT and a seed"));
    };
    let seed = key(seed).map_err(|()| unusable(&"its seed is damaged"))?;
    Ok(Auth::Jwt(Secret::new(jwt), seed))
}

/// The first line that is not empty behind the BEGIN line with that word.
fn block<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("-----BEGIN") && line.contains(word))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'))
}

impl Auth {
    /// Adds what says who we are; `nonce` is what the server asks to be signed.
    pub fn sign(&self, nonce: &str, connect: &mut Map<String, Value>) -> Result<()> {
        let mut set = |name: &str, value: &str| connect.insert(name.to_owned(), value.into());
        match self {
            Auth::None => {}
            Auth::User(user, password) => {
                set("user", user);
                set("pass", password.reveal());
            }
            Auth::Token(token) => {
                set("auth_token", token.reveal());
            }
            Auth::NKey(seed) => {
                set("nkey", &seed.0.public_key());
                set("sig", &signature(seed, nonce)?);
            }
            Auth::Jwt(jwt, seed) => {
                set("jwt", jwt.reveal());
                set("sig", &signature(seed, nonce)?);
            }
        }
        Ok(())
    }
}

fn signature(seed: &Seed, nonce: &str) -> Result<String> {
    let signed = seed.0.sign(nonce.as_bytes());
    signed.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|error| {
        Error::new(StatusCode::BadParameter, format!("the key of this user cannot sign: {error}"))
            .with_remedy("give the seed of a user, which begins with SU")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_is_read() {
        let seed = KeyPair::new_user().seed().expect("a seed");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.x.y\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.creds");
        std::fs::write(&file, text).expect("written");
        let auth = from_file("credentials.file", &file.display().to_string()).expect("read");
        assert!(!format!("{auth:?}").contains(&seed));
        let mut connect = Map::new();
        auth.sign("nonce", &mut connect).expect("signed");
        assert_eq!(connect["jwt"], "eyJ0.x.y");
        assert!(connect["sig"].as_str().is_some_and(|text| text.len() == 86));
        std::fs::write(&file, "nothing").expect("written");
        assert!(from_file("credentials.file", &file.display().to_string()).is_err());
    }

    #[test]
    fn each_way_says_who_it_is() {
        let connect = |auth: Auth| {
            let mut connect = Map::new();
            auth.sign("n", &mut connect).expect("signed");
            connect.keys().cloned().collect::<Vec<_>>()
        };
        assert!(connect(Auth::None).is_empty());
        assert_eq!(connect(Auth::User("u".into(), Secret::new("p"))), ["user", "pass"]);
        assert_eq!(connect(Auth::Token(Secret::new("t"))), ["auth_token"]);
        let seed = KeyPair::new_user().seed().expect("a seed");
        assert_eq!(connect(from_seed(&seed).expect("a seed")), ["nkey", "sig"]);
        assert!(from_seed("SUx").is_err());
    }
}
