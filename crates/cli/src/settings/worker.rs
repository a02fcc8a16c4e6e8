//! Settings as the worker uses them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmessaging::{AccessPointUrl, Properties};
use openmessaging_connector::Config;

use super::arguments::WorkerArguments;
use super::properties;
use super::resolve::{Resolved, Sources, resolve};
use crate::failure::{Failure, Result};

/// Everything a worker is started with, checked as far as that goes without starting it.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    pub worker_id: String,
    pub group: String,
    pub driver_url: AccessPointUrl,
    pub driver_properties: Properties,
    pub http: HttpSettings,
    /// Defaults of connectors.
    pub connector_defaults: Config,
    pub heartbeat_interval: Duration,
    pub shutdown_timeout: Duration,
    pub call_timeout: Duration,
    pub memory_bytes: usize,
    pub log: LogSettings,
    /// For the log, once there is one.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct HttpSettings {
    pub host: IpAddr,
    pub port: u16,
    pub advertised: Option<String>,
    pub allowed_hosts: Vec<String>,
    pub create_over_get: bool,
    /// An address that others can reach is wanted.
    pub public: bool,
}

#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `None`: standard output.
    pub folder: Option<PathBuf>,
    pub level: String,
    pub max_bytes: u64,
    pub files: usize,
}

impl WorkerSettings {
    /// From the command line, the environment and the file they name.
    pub fn load(arguments: WorkerArguments) -> Result<Self> {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named =
            variables.iter().find(|(name, value)| name == "OMSCONNECT_CONFIG_FILE" && !value.is_empty());
        let file = arguments.config_file.or_else(|| named.map(|(_, value)| value.into()));
        let file = match file {
            Some(path) => Some((path.display().to_string(), properties::read(&path)?)),
            None => None,
        };
        let sources = Sources { flags: arguments.flags, set: arguments.set, variables, file };
        Self::from_resolved(&resolve(&sources, secret)?)
    }

    /// The defaults, with everything in `folder` and nothing taken from the environment.
    pub fn for_quickstart(folder: &Path) -> Result<Self> {
        let text = |path: PathBuf| path.display().to_string();
        let flags = [
            ("oms-driver-url", local_url(&folder.join("queues"))?.to_string()),
            ("log-dir", text(folder.join("log"))),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self::from_resolved(&resolve(&Sources { flags, ..Sources::default() }, secret)?)
    }

    fn from_resolved(given: &Resolved) -> Result<Self> {
        let http = http(given)?;
        let millis = |key: &str| Duration::from_millis(given.number(key));
        Ok(Self {
            worker_id: given.text("workerId").to_owned(),
            group: given.text("group").to_owned(),
            driver_url: driver_url(given)?,
            driver_properties: driver_properties(given)?,
            http,
            connector_defaults: connector_defaults(given),
            heartbeat_interval: millis("heartbeat.interval.ms"),
            shutdown_timeout: millis("task.shutdown.graceful.timeout.ms"),
            call_timeout: millis("plugin.call.timeout.ms"),
            memory_bytes: usize::try_from(given.number("memory.max.bytes")).unwrap_or(usize::MAX),
            log: LogSettings {
                folder: (!given.bool("logStdout")).then(|| folder(given.text("logDir"))),
                level: given.text("logLevel").to_owned(),
                max_bytes: given.number("logMaxBytes"),
                files: usize::try_from(given.number("logFiles")).unwrap_or(1),
            },
            warnings: given.warnings.clone(),
        })
    }
}

fn secret(text: &str) -> Result<String> {
    Ok(connect_runtime::config::secrets::resolve(text)?)
}

/// A folder as it was written, with `~` replaced and made absolute.
fn folder(text: &str) -> PathBuf {
    let path = match (text.strip_prefix('~'), std::env::home_dir()) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(text),
    };
    std::path::absolute(&path).unwrap_or(path)
}

fn driver_url(given: &Resolved) -> Result<AccessPointUrl> {
    match given.get("omsDriverUrl") {
        Some(url) => Ok(url.parse()?),
        None => local_url(&folder(given.text("storePathRootDir"))),
    }
}

/// The access point of the embedded driver in that folder.
fn local_url(folder: &Path) -> Result<AccessPointUrl> {
    let text = folder.display().to_string();
    format!("oms:local://{text}").parse().map_err(|_| {
        Failure::new(
            "config.invalid",
            format!("the folder {text} has blanks or control characters in its name"),
        )
        .with_remedy("choose another folder (storePathRootDir, --dir)")
    })
}

fn driver_properties(given: &Resolved) -> Result<Properties> {
    given.behind("driver.").map(|(key, value)| Ok((key.to_owned(), secret(&value.text)?))).collect()
}

/// References to secrets stay as they are: the runtime resolves them when a connector starts.
fn connector_defaults(given: &Resolved) -> Config {
    let named = [
        ("key.converter", "key.converter"),
        ("value.converter", "value.converter"),
        ("positionPersistInterval", "offset.flush.interval.ms"),
    ];
    let named = named.iter().filter_map(|(key, name)| Some(((*name).to_owned(), given.get(key)?.to_owned())));
    let options = given.prefixed.iter().filter(|(key, _)| !key.starts_with("driver."));
    named.chain(options.map(|(key, value)| (key.clone(), value.text.clone()))).collect()
}

fn http(given: &Resolved) -> Result<HttpSettings> {
    let text = given.text("httpHost");
    let host: IpAddr = match text {
        "localhost" => [127, 0, 0, 1].into(),
        _ => text.trim_matches(['[', ']']).parse().map_err(|_| {
            let message = format!("httpHost: \"{text}\" is not an IP address ({})", given.origin("httpHost"));
            Failure::new("config.invalid", message)
                .with_remedy("write 127.0.0.1 for this machine alone, or 0.0.0.0 for every address it has")
        })?,
    };
    let public = given.bool("httpPublic");
    if connect_rest::check_public(host, public).is_err() {
        let message = format!(
            "httpHost: {host} can be reached from other machines, and the REST API has no authentication ({})",
            given.origin("httpHost")
        );
        return Err(Failure::new("http.public_address", message).with_remedy(
            "listen on 127.0.0.1, or set httpPublic=true where the network keeps strangers out",
        ));
    }
    let hosts = given.text("allowedHosts").split(',').map(str::trim).filter(|host| !host.is_empty());
    Ok(HttpSettings {
        host,
        port: u16::try_from(given.number("httpPort")).unwrap_or_default(),
        advertised: given.get("advertisedAddress").map(str::to_owned),
        allowed_hosts: hosts.map(str::to_owned).collect(),
        create_over_get: given.bool("createOverGet"),
        public,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: &[(&str, &str)]) -> Result<WorkerSettings> {
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { flags, ..Sources::default() };
        WorkerSettings::from_resolved(&resolve(&sources, secret)?)
    }

    #[test]
    fn the_embedded_queue_is_in_the_store_folder_unless_a_url_is_given() {
        let made = settings(&[("store-path-root-dir", "/tmp/x")]).expect("valid");
        assert_eq!(made.driver_url.to_string(), "oms:local:///tmp/x");
        let made = settings(&[("oms-driver-url", "oms:local:///tmp/y")]).expect("valid");
        assert_eq!(made.driver_url.to_string(), "oms:local:///tmp/y");
        let home = settings(&[]).expect("valid").driver_url.to_string();
        assert!(home.ends_with("/connectorStore") && !home.contains('~'), "{home}");
    }

    #[test]
    fn a_public_address_must_be_wanted() {
        let error = settings(&[("http-host", "0.0.0.0")]).expect_err("refused").to_string();
        assert!(error.contains("http.public_address"), "{error}");
        assert!(settings(&[("http-host", "0.0.0.0"), ("http-public", "true")]).is_ok());
        assert!(settings(&[("http-host", "localhost")]).is_ok());
        assert!(settings(&[("http-host", "example.org")]).is_err());
    }

    #[test]
    fn the_originals_interval_is_the_connectors_default() {
        let made =
            settings(&[("position-persist-interval", "20000"), ("value-converter", "json")]).expect("valid");
        assert_eq!(made.connector_defaults["offset.flush.interval.ms"], "20000");
        assert_eq!(made.connector_defaults["value.converter"], "json");
    }
}
