//! Servers with TLS and each way to authenticate.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use openmessaging::StatusCode;
use serde_json::{Value, json};
use testkit::broker::certificate;
use testkit::broker::nats::EXTRAS;
use testkit::server::Access;
use testkit::services::recorded;

use crate::fixture::{properties, url};
use crate::private::Private;

pub struct Extra {
    pub configuration: String,
    pub greets: bool,
}

fn extra(configuration: String) -> Extra {
    Extra { configuration, greets: true }
}

/// Files of the recorded service.
fn file(name: &str) -> String {
    let entry = recorded("nats");
    let found = if name == "ca" { entry["ca"].as_str() } else { entry["more"][name].as_str() };
    found.unwrap_or_else(|| panic!("state.json says no {name} for nats")).to_owned()
}

/// A JWT as `nsc` makes them.
fn jwt(issuer: &KeyPair, subject: &str, claims: Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let body = json!({ "jti": subject, "iat": 1, "iss": issuer.public_key(), "name": "test", "sub": subject, "nats": claims });
    let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&body));
    let signature = issuer.sign(text.as_bytes()).expect("signed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The configuration of a server that trusts an operator, and the credentials of a user of one of its accounts.
fn with_accounts(folder: &Path) -> (String, String) {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let operator_jwt = jwt(&operator, &operator.public_key(), json!({ "type": "operator", "version": 2 }));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let account_jwt =
        jwt(&operator, &account.public_key(), json!({ "type": "account", "version": 2, "limits": limits }));
    let system = KeyPair::new_account();
    let system_jwt = jwt(
        &operator,
        &system.public_key(),
        json!({ "type": "account", "version": 2, "limits": { "subs": -1, "data": -1, "payload": -1, "conn": -1 } }),
    );
    let user_jwt = jwt(
        &account,
        &user.public_key(),
        json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 }),
    );
    let mut credentials = String::new();
    let seed = user.seed().expect("a seed");
    let _ = write!(
        credentials,
        "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    let path = folder.join("user.creds");
    std::fs::write(&path, credentials).expect("written");
    let (account, system) = (account.public_key(), system.public_key());
    let configuration = format!(
        "max_payload: 8MB\noperator: {operator_jwt}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {account}: {account_jwt}, {system}: {system_jwt} }}\n"
    );
    (configuration, path.display().to_string())
}

const USERS: &str = r#"
max_payload: 8MB
authorization {
  users = [
    { user: "all", password: "hush p@ss" }
    { user: "reader", password: "hush", permissions: { publish: { deny: ["$JS.API.STREAM.CREATE.>"] } } }
    { user: "sender", password: "hush", permissions: { publish: { allow: ["$JS.API.>", "$KV.>"] } } }
    { user: "deaf", password: "hush", permissions: { subscribe: ["nothing"] } }
    { nkey: "NKEY" }
  ]
}
"#;

pub fn accesses(fixture: &mut Private) -> Vec<Access> {
    let folder = fixture.broker.place().folder.clone();
    let (ca, certificate, key) = (file("ca"), file("certificate"), file("key"));
    let tls = format!(
        "max_payload: 8MB\ntls {{ cert_file: \"{certificate}\", key_file: \"{key}\", timeout: 5 }}\n"
    );
    let verify = format!(
        "max_payload: 8MB\ntls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: true, timeout: 5 }}\n"
    );
    let nkey = KeyPair::new_user();
    let seed = nkey.seed().expect("a seed");
    let token = "max_payload: 8MB\nauthorization { token: \"hush-token\" }\n".to_owned();
    let (accounts, credentials) = with_accounts(&folder);
    let servers = [tls, verify, USERS.replace("NKEY", &nkey.public_key()), token, accounts];
    let ports: Vec<u16> =
        servers.into_iter().enumerate().map(|(number, text)| fixture.extra(number, &extra(text))).collect();
    let [tls, verify, users, token, accounts] = ports[..] else { panic!("{EXTRAS} servers") };
    let (client, client_key) = certificate::for_client(&folder, Path::new(&ca), "client");
    let stranger = certificate::other_authority(&folder).display().to_string();
    let (unauthorized, bad) = (Some(StatusCode::Unauthorized), Some(StatusCode::BadParameter));
    let forbidden = Some(StatusCode::Forbidden);
    let case = |name: &str, account: &str, port: u16, pairs: &[(&str, &str)], fails| Access {
        name: name.to_owned(),
        url: url(&format!("{account}127.0.0.1:{port}"), "default"),
        properties: properties(pairs),
        fails,
    };
    let other_seed = KeyPair::new_user().seed().expect("a seed");
    vec![
        case("TLS", "", tls, &[("tls.ca.file", &ca)], None),
        case("TLS, another authority", "", tls, &[("tls.ca.file", &stranger)], bad),
        case("plain to a TLS port", "", tls, &[], bad),
        case(
            "TLS to a plain port",
            "",
            users,
            &[("tls.ca.file", &ca), ("user", "all"), ("password", "hush p@ss")],
            bad,
        ),
        case(
            "TLS with a client's certificate",
            "",
            verify,
            &[("tls.ca.file", &ca), ("tls.certificate.file", &client), ("tls.key.file", &client_key)],
            None,
        ),
        case("TLS without a client's certificate", "", verify, &[("tls.ca.file", &ca)], unauthorized),
        case("user and password", "", users, &[("user", "all"), ("password", "hush p@ss")], None),
        case("user and password in the URL", "all:hush%20p%40ss@", users, &[], None),
        case("a wrong password", "", users, &[("user", "all"), ("password", "wrong-hush")], unauthorized),
        case("no user", "", users, &[], unauthorized),
        case("may not create", "", users, &[("user", "reader"), ("password", "hush")], forbidden),
        case("may not send", "", users, &[("user", "sender"), ("password", "hush")], forbidden),
        case("may not subscribe", "", users, &[("user", "deaf"), ("password", "hush")], forbidden),
        case("an NKey", "", users, &[("nkey.seed", &seed)], None),
        case("another NKey", "", users, &[("nkey.seed", &other_seed)], unauthorized),
        case("a token", "", token, &[("token", "hush-token")], None),
        case("a token in the URL", "hush-token@", token, &[], None),
        case("a wrong token", "", token, &[("token", "wrong-hush")], unauthorized),
        case("credentials", "", accounts, &[("credentials.file", &credentials)], None),
        case("no credentials", "", accounts, &[], unauthorized),
    ]
}
