//! A RabbitMQ of a test's own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::certificate::authority;
use super::{Instance, Launch};
use crate::services::recorded;

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// Ports: AMQP, AMQP over TLS, management, Erlang's distribution and its port mapper.
pub struct RabbitMq;

pub fn tls_port(place: &Instance) -> u16 {
    place.ports[1]
}

pub fn management(place: &Instance) -> String {
    format!("127.0.0.1:{}", place.ports[2])
}

fn node(place: &Instance) -> String {
    format!("oms-{}@localhost", place.port())
}

/// Settings that the server and its tools share.
fn with_environment(place: &Instance, command: &mut Command) {
    let in_folder = |name: &str| place.folder.join(name);
    command
        .env("HOME", &place.folder)
        .env("ERL_EPMD_PORT", place.ports[4].to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODENAME", node(place))
        .env("RABBITMQ_DIST_PORT", place.ports[3].to_string())
        .env("RABBITMQ_MNESIA_BASE", in_folder("data"))
        .env("RABBITMQ_LOG_BASE", in_folder("data"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_PID_FILE", in_folder("data/pid"))
        .env("RABBITMQ_CONFIG_FILE", in_folder("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", in_folder("enabled_plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", in_folder("none"))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("RABBITMQ_CTL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("RABBITMQ_ALLOW_INPUT", "1");
}

/// Runs `rabbitmqctl`.
///
/// # Panics
/// When it fails.
pub fn control(place: &Instance, arguments: &[&str]) {
    let mut command = Command::new(Path::new(PROGRAMS).join("rabbitmqctl"));
    with_environment(place, &mut command);
    let output = command.args(arguments).output().expect("rabbitmqctl is run");
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {output:?}");
}

impl Launch for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn ports(&self) -> usize {
        5
    }

    fn prepare(&self, place: &Instance) {
        let entry = recorded("rabbitmq");
        let file = |name: &str| entry["more"][name].as_str().expect("the service's files").to_owned();
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             listeners.ssl.1 = 127.0.0.1:{}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = false\n\
             ssl_cert_login_from = common_name\n\
             auth_mechanisms.1 = PLAIN\n\
             auth_mechanisms.2 = EXTERNAL\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {}\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             disk_free_limit.absolute = 50MB\n",
            place.port(),
            tls_port(place),
            authority("rabbitmq").display(),
            file("certificate"),
            file("key"),
            place.ports[2],
        );
        let write = |name: &str, text: &str| std::fs::write(place.folder.join(name), text).expect("written");
        std::fs::create_dir_all(place.folder.join("data")).expect("a folder");
        write("rabbitmq.conf", &configuration);
        write("enabled_plugins", "[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n");
    }

    /// The port mapper, without which a node does not start, and the node.
    fn commands(&self, place: &Instance) -> Vec<Command> {
        let mut mapper = Command::new("epmd");
        mapper.args(["-address", "127.0.0.1", "-port", &place.ports[4].to_string()]);
        let mut server = Command::new(Path::new(PROGRAMS).join("rabbitmq-server"));
        server.arg("-noinput");
        with_environment(place, &mut server);
        vec![mapper, server]
    }

    fn probe(&self, place: &Instance) -> Result<(), String> {
        let problem = |error: std::io::Error| error.to_string();
        TcpStream::connect(management(place)).map_err(problem)?;
        let mut stream = TcpStream::connect(place.address()).map_err(problem)?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).map_err(problem)?;
        stream.write_all(b"AMQP\0\0\x09\x01").map_err(problem)?;
        let mut head = [0; 7];
        stream.read_exact(&mut head).map_err(problem)?;
        if head[0] == 1 { Ok(()) } else { Err("this is not RabbitMQ".to_owned()) }
    }
}
