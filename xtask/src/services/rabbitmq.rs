//! RabbitMQ of the system's own release.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process;
use super::tls::{self, Tls};
use super::{Entry, Place, Service, apt, files, variable};
use crate::{Result, run};

pub struct RabbitMq;

/// The user that every RabbitMQ has; only from loopback.
const USER: &str = "guest";
const PASSWORD: &str = "guest";

/// The wrapper of that name on the search path changes to another user, who cannot enter the checkout.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

impl Service for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn port(&self) -> u16 {
        5672
    }

    /// The package sets up a server of the system too: it is kept from being started. The client of D31 is Python's.
    fn install(&self, _place: &Place) -> Result<()> {
        let client = Path::new("/usr/lib/python3/dist-packages/pika");
        if Path::new(SERVER).exists() && run::find_program("epmd").is_some() && client.exists() {
            return Ok(());
        }
        let policy = NoServices::declare()?;
        let installed = apt::install(&["rabbitmq-server", "python3-pika"]);
        drop(policy);
        installed
    }

    fn start(&self, place: &Place, port: u16) -> Result<Entry> {
        let Tls { ca, certificate, key } = tls::ensure(&place.shared.join("tls"))?;
        let data_dir = place.own.join("data");
        files::remove_folder(&data_dir)?;
        files::make_folder(&data_dir)?;
        let [tls_port, management, distribution, mapper] = other_ports()?;
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\n\
             listeners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             disk_free_limit.absolute = 50MB\n",
            ca.display(),
            certificate.display(),
            key.display()
        );
        files::write(&place.own.join("rabbitmq.conf"), &configuration)?;
        files::write(&place.own.join("enabled_plugins"), "[rabbitmq_management].\n")?;
        let script = place.own.join("run.sh");
        files::write(&script, SCRIPT)?;
        let mut server = Command::new("sh");
        server.arg(&script).env("OMS_FOLDER", &place.own).env("OMS_PORT", port.to_string());
        server.env("OMS_DISTRIBUTION", distribution.to_string()).env("ERL_EPMD_PORT", mapper.to_string());
        let process = process::spawn(&mut server, &place.log())?;
        let more = [
            ("tls", format!("127.0.0.1:{tls_port}")),
            ("management", format!("http://127.0.0.1:{management}")),
            ("server", SERVER.to_string()),
            ("certificate", certificate.display().to_string()),
            ("key", key.display().to_string()),
        ];
        Ok(Entry {
            process,
            host: "127.0.0.1".into(),
            port,
            user: USER.into(),
            password: PASSWORD.into(),
            version: String::new(),
            data_dir,
            log: place.log(),
            ca,
            command: vec![SERVER.into()],
            template: PathBuf::new(),
            more: more.map(|(key, value)| (key.to_string(), value)).into(),
            env: [(variable(self.name()), format!("127.0.0.1:{port}"))].into(),
        })
    }

    /// What a server of AMQP 0.9.1 says first, which holds its version. The management interface, which tests need too,
    /// must answer as well.
    fn probe(&self, _place: &Place, entry: &Entry) -> Result<String> {
        use std::io::{Read, Write};
        let problem = |error: std::io::Error| format!("no answer: {error}");
        let management = entry.more.get("management").and_then(|url| url.strip_prefix("http://"));
        std::net::TcpStream::connect(management.unwrap_or_default()).map_err(problem)?;
        let mut stream = std::net::TcpStream::connect((&*entry.host, entry.port)).map_err(problem)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).map_err(problem)?;
        stream.write_all(b"AMQP\0\0\x09\x01").map_err(problem)?;
        let mut head = [0; 7];
        stream.read_exact(&mut head).map_err(problem)?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut start = vec![0; size.min(64 * 1024)];
        stream.read_exact(&mut start).map_err(problem)?;
        version_in(&start).ok_or_else(|| "this is not the first frame of RabbitMQ".into())
    }
}

/// `version`, `S`, four bytes of length, the text.
fn version_in(start: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"\x07versionS";
    let at = start.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let (length, rest) = start.get(at..)?.split_first_chunk::<4>()?;
    let text = rest.get(..u32::from_be_bytes(*length) as usize)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Erlang's port mapper, which a node asks for before it starts, and the server. Ended together.
const SCRIPT: &str = r#"epmd -address 127.0.0.1 &
mapper=$!
export HOME="$OMS_FOLDER" ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_ALLOW_INPUT=1
export RABBITMQ_NODENAME="oms-$OMS_PORT@localhost" RABBITMQ_DIST_PORT="$OMS_DISTRIBUTION"
export RABBITMQ_MNESIA_BASE="$OMS_FOLDER/data" RABBITMQ_LOG_BASE="$OMS_FOLDER/data" RABBITMQ_LOGS=-
export RABBITMQ_CONFIG_FILE="$OMS_FOLDER/rabbitmq.conf" RABBITMQ_PID_FILE="$OMS_FOLDER/data/pid"
export RABBITMQ_ENABLED_PLUGINS_FILE="$OMS_FOLDER/enabled_plugins" RABBITMQ_CONF_ENV_FILE="$OMS_FOLDER/none"
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
/usr/lib/rabbitmq/bin/rabbitmq-server -noinput &
server=$!
trap 'kill -TERM $server' TERM INT
wait $server
wait $server
kill $mapper
"#;

/// For TLS, the management interface, Erlang's distribution and its port mapper.
fn other_ports() -> Result<[u16; 4]> {
    let problem = |error: std::io::Error| format!("no free port: {error}");
    let free = || std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(problem);
    let listeners = [free()?, free()?, free()?, free()?];
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().map_err(problem)?.port();
    }
    Ok(ports)
}

/// Says to Debian's packages that they must start no service, as long as this is held. A policy that is there already
/// stays, and is the machine's own affair.
struct NoServices(bool);

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn declare() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self(false));
        }
        let lines = format!("umask 022; printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
        as_root(&lines).map(|()| Self(true))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0
            && let Err(error) = as_root(&format!("rm -f {POLICY}"))
        {
            eprintln!("{POLICY} could not be removed, remove it by hand: {error}");
        }
    }
}

fn as_root(lines: &str) -> Result<()> {
    let mut command = if nix::unistd::geteuid().is_root() {
        Command::new("sh")
    } else {
        let mut command = Command::new("sudo");
        command.args(["--non-interactive", "sh"]);
        command
    };
    run::output(command.args(["-c", lines])).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_first_frame_says_the_version() {
        let frame = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x20\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        assert_eq!(version_in(frame).as_deref(), Some("3.10.8"));
        assert_eq!(version_in(b"HTTP/1.1 400"), None);
    }
}
