//! Apache RocketMQ, a name server and a broker, from their jars in Maven Central. A shell is the process that `up` remembers:
//! it ends both when it is ended.
//!
//! Both listen on 127.0.0.1, with TLS for whoever begins it (`tls.server.mode=permissive`). The broker's port for slaves has
//! no setting for its address.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process;
use super::tls::{self, Tls};
use super::{Entry, Place, Service, apt, files, maven, variable};
use crate::{Result, run};

pub struct RocketMq;

const VERSION: &str = "5.3.3";

impl Service for RocketMq {
    fn name(&self) -> &'static str {
        "rocketmq"
    }

    fn port(&self) -> u16 {
        9876
    }

    /// A JDK, since tests run RocketMQ's own client from a source file.
    fn install(&self, place: &Place) -> Result<()> {
        if run::find_program("javac").is_none() {
            apt::install(&["default-jdk-headless"])?;
        }
        maven::jars(&format!("Apache RocketMQ {VERSION}"), &pom(), &place.dist, &jars(place))
    }

    fn start(&self, place: &Place, port: u16) -> Result<Entry> {
        let tls = tls_settings(place)?;
        let data_dir = place.own.join("data");
        files::remove_folder(&data_dir)?;
        files::make_folder(&data_dir)?;
        let broker = broker_port()?;
        files::write(
            &place.own.join("namesrv.conf"),
            &format!("bindAddress=127.0.0.1\nlistenPort={port}\n"),
        )?;
        files::write(&place.own.join("broker.conf"), &broker_settings(port, broker, &data_dir))?;
        let java = java(place, &tls);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script(&java, &place.own)])
            .env("ROCKETMQ_HOME", &place.own)
            .current_dir(&place.own);
        let process = process::spawn(&mut shell, &place.log())?;
        let address = format!("127.0.0.1:{port}");
        let more = [
            ("broker", format!("127.0.0.1:{broker}")),
            ("jars", jars(place).display().to_string()),
            ("tls-settings", tls.display().to_string()),
        ];
        Ok(Entry {
            process,
            host: "127.0.0.1".into(),
            port,
            user: String::new(),
            password: String::new(),
            version: String::new(),
            data_dir,
            log: place.log(),
            ca: place.shared.join("tls/ca.pem"),
            command: java,
            template: PathBuf::new(),
            more: more.map(|(key, value)| (key.to_string(), value)).into(),
            env: [(variable(self.name()), address)].into(),
        })
    }

    /// Whether the name server knows a broker.
    fn probe(&self, _place: &Place, entry: &Entry) -> Result<String> {
        use std::io::{Read, Write};
        let problem = |error: std::io::Error| format!("no answer: {error}");
        let mut stream = std::net::TcpStream::connect((&*entry.host, entry.port)).map_err(problem)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).map_err(problem)?;
        // 106: GET_BROKER_CLUSTER_INFO.
        let header = r#"{"code":106,"flag":0,"language":"JAVA","opaque":1,"version":479}"#;
        let length = header.len() as u32;
        let frame = [&(length + 4).to_be_bytes(), &length.to_be_bytes(), header.as_bytes()].concat();
        stream.write_all(&frame).map_err(problem)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).map_err(problem)?;
        let mut answer = vec![0; u32::from_be_bytes(length).min(1 << 20) as usize];
        stream.read_exact(&mut answer).map_err(problem)?;
        if String::from_utf8_lossy(&answer).contains("\"brokerName\"") {
            return Ok(VERSION.into());
        }
        Err("no broker is registered yet".into())
    }
}

fn jars(place: &Place) -> PathBuf {
    place.dist.join("libs")
}

/// Name server, broker and tools, with what they need.
fn pom() -> String {
    let dependency = |artifact: &str| {
        format!(
            "<dependency><groupId>org.apache.rocketmq</groupId><artifactId>{artifact}</artifactId>\
             <version>{VERSION}</version></dependency>"
        )
    };
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>omsconnect</groupId><artifactId>rocketmq</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>{}{}{}</dependencies></project>\n",
        dependency("rocketmq-namesrv"),
        dependency("rocketmq-broker"),
        dependency("rocketmq-tools")
    )
}

/// What any JVM of RocketMQ is started with.
fn java(place: &Place, tls: &Path) -> Vec<String> {
    let mut java: Vec<String> = [
        "java",
        "-Xms64m",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:MaxDirectMemorySize=512m",
        "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
        "-Dtls.test.mode.enable=false",
        "-Dtls.server.mode=permissive",
    ]
    .map(str::to_string)
    .into();
    java.push(format!("-Dtls.config.file={}", tls.display()));
    // Its logs go below the home of the user.
    java.push(format!("-Duser.home={}", place.own.display()));
    java.extend(["-cp".to_string(), format!("{}/*", jars(place).display())]);
    java
}

fn tls_settings(place: &Place) -> Result<PathBuf> {
    let Tls { certificate, key, .. } = tls::ensure(&place.shared.join("tls"))?;
    let file = place.own.join("tls.properties");
    let (key, certificate) = (key.display(), certificate.display());
    let text = format!(
        "tls.server.keyPath={key}\ntls.server.certPath={certificate}\ntls.server.need.client.auth=none\n"
    );
    files::write(&file, &text)?;
    Ok(file)
}

/// The broker begins when the name server listens, so that it is registered at once.
fn script(java: &[String], folder: &Path) -> String {
    let java: Vec<String> = java.iter().map(|part| format!("'{part}'")).collect();
    let (java, folder) = (java.join(" "), folder.display());
    format!(
        "{java} org.apache.rocketmq.namesrv.NamesrvStartup -c '{folder}/namesrv.conf' & names=$!
{java} org.apache.rocketmq.broker.BrokerStartup -c '{folder}/broker.conf' & broker=$!
trap 'kill $broker $names; wait $broker $names; exit 0' TERM INT
wait $broker
kill $names
wait $names
"
    )
}

/// A free port with the one two below it free as well, where the broker listens too.
fn broker_port() -> Result<u16> {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).ok();
    let usual = (10_911..11_500).step_by(4);
    let found = usual
        .into_iter()
        .find(|port| free(*port).is_some() && free(port - 2).is_some() && free(port + 1).is_some());
    found.ok_or_else(|| "no free port for the broker".into())
}

fn broker_settings(names: u16, port: u16, data: &Path) -> String {
    let slaves = port + 1;
    let data = data.display();
    format!(
        "brokerClusterName=DefaultCluster
brokerName=broker-a
brokerId=0
brokerIP1=127.0.0.1
bindAddress=127.0.0.1
listenPort={port}
haListenPort={slaves}
namesrvAddr=127.0.0.1:{names}
registerNameServerPeriod=10000
storePathRootDir={data}
storePathCommitLog={data}/commitlog
mappedFileSizeCommitLog=67108864
mappedFileSizeConsumeQueue=600000
maxHashSlotNum=50000
maxIndexNum=200000
mappedFileSizeTimerLog=1048576
maxMessageSize=8388608
flushDiskType=ASYNC_FLUSH
autoCreateTopicEnable=true
"
    )
}
