//! Kafka brokers of a test's own: one node, broker and controller in one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::certificate::authority;
use super::{Instance, Launch};
use crate::services::recorded;

/// Of every user there is: `admin`, who may do everything, and `bob`, who may do nothing.
pub const PASSWORD: &str = "hush-hush";

/// Which port is whose.
pub const TLS: usize = 1;
pub const SASL: usize = 2;
pub const SASL_TLS: usize = 3;
const CONTROLLER: usize = 4;
/// A listener whose clients are told the address of a proxy, and that address.
pub const PROXIED: usize = 5;
pub const PROXY: usize = 6;
/// TLS, and clients with a certificate only; `client` may do everything.
pub const MUTUAL: usize = 7;

/// A program of Kafka's, of a class that is to be named, with so much memory (`512m`).
pub fn java(jars: &str, heap: &str) -> Command {
    let mut java = Command::new("java");
    java.args([
        &format!("-Xmx{heap}"),
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dfile.encoding=UTF-8",
    ]);
    java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", &format!("{jars}/*")]);
    java
}

/// Where a broker unpacks its libraries: it leaves them there when it is killed.
pub fn temporary(folder: &Path) -> String {
    format!("-Djava.io.tmpdir={}", folder.display())
}

/// A broker that keeps what it acknowledged.
pub struct Kafka {
    pub jars: String,
    keystore: String,
    /// More lines of `server.properties`, which win.
    more: String,
}

impl Kafka {
    pub fn of_services() -> Self {
        let entry = recorded("kafka");
        let text = |key: &str| entry["more"][key].as_str().expect("state.json is whole").to_owned();
        Self { jars: text("jars"), keystore: text("keystore"), more: String::new() }
    }

    pub fn with(more: &str) -> Self {
        Self { more: more.to_owned(), ..Self::of_services() }
    }

    fn properties(&self, place: &Instance) -> String {
        let listener = |name: &str, port: usize| format!("{name}://127.0.0.1:{}", place.ports[port]);
        let own = [
            listener("PLAIN", 0),
            listener("TLS", TLS),
            listener("SASL", SASL),
            listener("SASLTLS", SASL_TLS),
            listener("MUTUAL", MUTUAL),
        ]
        .join(",");
        let mut text = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners={own},{proxied},{controller_listener}
advertised.listeners={own},{proxy}
listener.security.protocol.map=PLAIN:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,MUTUAL:SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin;User:CN=client
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={authority}
log.dirs={data}
log.retention.ms=-1
log.retention.check.interval.ms=300
log.segment.delete.delay.ms=100
log.initial.task.delay.ms=100
num.network.threads=2
num.io.threads=4
background.threads=2
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=8388608
offsets.topic.num.partitions=2
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
",
            controller = place.ports[CONTROLLER],
            controller_listener = listener("CONTROLLER", CONTROLLER),
            proxied = listener("PROXIED", PROXIED),
            proxy = listener("PROXIED", PROXY),
            keystore = self.keystore,
            authority = authority("kafka").display(),
            data = place.folder.join("data").display(),
        );
        for name in ["sasl", "sasltls"] {
            text += &format!(
                "listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                 required user_admin=\"{PASSWORD}\" user_bob=\"{PASSWORD}\";\n"
            );
            for mechanism in ["scram-sha-256", "scram-sha-512"] {
                text += &format!(
                    "listener.name.{name}.{mechanism}.sasl.jaas.config=\
                     org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
                );
            }
        }
        text + &self.more
    }

    fn java(&self) -> Command {
        java(&self.jars, "512m")
    }
}

impl Launch for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn ports(&self) -> usize {
        8
    }

    fn prepare(&self, place: &Instance) {
        let configuration = place.folder.join("server.properties");
        std::fs::write(&configuration, self.properties(place)).expect("a configuration");
        let mut format = self.java();
        format
            .args(["kafka.tools.StorageTool", "format", "-t", "b21zY29ubmVjdC10ZXN0cw", "-c"])
            .arg(configuration);
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.args(["-S", &format!("{mechanism}=[name=admin,password={PASSWORD}]")]);
        }
        let output = format.stdin(Stdio::null()).output().expect("java");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn commands(&self, place: &Instance) -> Vec<Command> {
        let mut server = self.java();
        server.arg(temporary(&place.folder)).arg("kafka.Kafka").arg(place.folder.join("server.properties"));
        vec![server]
    }

    /// The first request of every client: which versions the broker takes.
    fn probe(&self, place: &Instance) -> Result<(), String> {
        let problem = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(place.address()).map_err(problem)?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).map_err(problem)?;
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]).map_err(problem)?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).map_err(problem)?;
        if answer[4..] == [0, 0, 0, 1, 0, 0] { Ok(()) } else { Err(format!("{answer:?}")) }
    }
}
