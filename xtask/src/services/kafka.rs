//! Apache Kafka, one node with KRaft, from its jars in Maven Central.

use std::path::{Path, PathBuf};

use super::process;
use super::tls::{self, Tls};
use super::{Entry, Place, Service, apt, files, maven, variable};
use crate::{Result, run};

pub struct Kafka;

const VERSION: &str = "4.1.0";

/// The user of the listeners that authenticate, with PLAIN and SCRAM; may do everything.
const USER: &str = "admin";
const PASSWORD: &str = "omstest";

/// What is logged: why a broker ended, for one.
const WARNINGS: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";

impl Service for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn port(&self) -> u16 {
        9092
    }

    fn install(&self, place: &Place) -> Result<()> {
        // The tests compile a client.
        if run::find_program("javac").is_none() {
            apt::install(&["default-jdk-headless"])?;
        }
        maven::jars(&format!("Apache Kafka {VERSION}"), &pom(), &place.dist, &jars(place))
    }

    fn start(&self, place: &Place, port: u16) -> Result<Entry> {
        let keystore = keystore(place)?;
        let data_dir = place.own.join("data");
        files::remove_folder(&data_dir)?;
        let ports = other_ports()?;
        let configuration = place.own.join("server.properties");
        files::write(&configuration, &properties(port, &ports, &data_dir, &keystore))?;
        let classes = format!("{}/*", jars(place).display());
        let java: Vec<String> =
            ["java", "-Xmx512m", "-XX:+UseSerialGC", WARNINGS, "-cp", &classes].map(str::to_string).into();
        let mut format = run::command(&java);
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(&configuration);
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.args(["-S", &format!("{mechanism}=[name={USER},password={PASSWORD}]")]);
        }
        run::logged(&mut format, &place.log())?;
        let mut server = run::command(&java);
        server.arg("kafka.Kafka").arg(&configuration);
        let process = process::spawn(&mut server, &place.log())?;
        let address = |port: u16| format!("127.0.0.1:{port}");
        let more = [
            ("tls", address(ports[0])),
            ("sasl", address(ports[1])),
            ("sasl-tls", address(ports[2])),
            ("jars", jars(place).display().to_string()),
            ("keystore", keystore.display().to_string()),
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
            ca: place.shared.join("tls/ca.pem"),
            command: java,
            template: PathBuf::new(),
            more: more.map(|(key, value)| (key.to_string(), value)).into(),
            env: [(variable(self.name()), address(port))].into(),
        })
    }

    /// Whether the broker answers: the first request of every client, with the number of its answer.
    fn probe(&self, _place: &Place, entry: &Entry) -> Result<String> {
        use std::io::{Read, Write};
        let problem = |error: std::io::Error| format!("no answer: {error}");
        let mut stream = std::net::TcpStream::connect((&*entry.host, entry.port)).map_err(problem)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).map_err(problem)?;
        // Length 10; request 18 (ApiVersions) of version 0, number 1, no client id.
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]).map_err(problem)?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).map_err(problem)?;
        match answer[4..] {
            [0, 0, 0, 1, 0, 0] => Ok(VERSION.into()),
            _ => Err("this is not the answer of a Kafka broker".into()),
        }
    }
}

const CLUSTER: &str = "b21zY29ubmVjdC10ZXN0cw";

fn jars(place: &Place) -> PathBuf {
    place.dist.join("libs")
}

/// Broker and tools with what they need, and something that writes their log.
fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>omsconnect</groupId><artifactId>kafka</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>{}{}{}</dependencies></project>\n",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        dependency("org.apache.kafka", "kafka-tools", VERSION),
        dependency("org.slf4j", "slf4j-simple", "1.7.36")
    )
}

/// Key and certificate in one file, as Kafka wants them.
fn keystore(place: &Place) -> Result<PathBuf> {
    let Tls { certificate, key, .. } = tls::ensure(&place.shared.join("tls"))?;
    let read = |file: &Path| {
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
    };
    let keystore = place.own.join("keystore.pem");
    files::write(&keystore, &(read(&key)? + &read(&certificate)?))?;
    Ok(keystore)
}

/// Of the listeners for TLS, SASL, both, and the controller.
fn other_ports() -> Result<[u16; 4]> {
    let problem = |error: std::io::Error| format!("no free port: {error}");
    let mut taken = Vec::new();
    let mut ports = [0; 4];
    for port in &mut ports {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(problem)?;
        *port = listener.local_addr().map_err(problem)?.port();
        taken.push(listener);
    }
    Ok(ports)
}

fn properties(
    port: u16,
    [tls, sasl, sasl_tls, controller]: &[u16; 4],
    data: &Path,
    keystore: &Path,
) -> String {
    let plain_user = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
    );
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let mut text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:{port},TLS://127.0.0.1:{tls},SASL://127.0.0.1:{sasl},SASLTLS://127.0.0.1:{sasl_tls},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAIN:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{USER}
log.dirs={}
log.retention.ms=-1
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=500
log.initial.task.delay.ms=500
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
",
        keystore.display(),
        data.display()
    );
    for listener in ["sasl", "sasltls"] {
        text += &format!("listener.name.{listener}.plain.sasl.jaas.config={plain_user}\n");
        for mechanism in ["scram-sha-256", "scram-sha-512"] {
            text += &format!("listener.name.{listener}.{mechanism}.sasl.jaas.config={scram}\n");
        }
    }
    text
}
