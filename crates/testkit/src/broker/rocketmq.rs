//! How a name server and a broker of a test's own are run.
//!
//! The broker listens on 127.0.0.2 and tells its clients 127.0.0.2, or, behind a proxy, 127.0.0.1 with the same port. One with
//! TLS listens on 127.0.0.1, for which its certificate is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Instance, Launch};
use crate::services::recorded;

pub const ADMIN: (&str, &str) = ("admin", "omstest-admin");

#[derive(Debug, Clone, Copy, Default)]
pub struct RocketMq {
    /// Users, rights and TLS.
    pub secured: bool,
}

/// The settings that the broker is started with; tests append to it before it is started again.
pub fn settings_file(place: &Instance) -> PathBuf {
    place.folder.join("broker.conf")
}

/// While this file is there when the broker is started, its store is on a disk of 256 MiB.
pub fn small_disk(place: &Instance) -> PathBuf {
    place.folder.join("small-disk")
}

/// While this file is there, that disk is filled by something else.
pub fn fill(place: &Instance) -> PathBuf {
    place.folder.join("fill")
}

impl RocketMq {
    /// Where the broker listens.
    pub fn host(&self) -> &'static str {
        if self.secured { "127.0.0.1" } else { "127.0.0.2" }
    }
}

pub fn broker_port(place: &Instance) -> u16 {
    place.ports[1]
}

/// The JVM with everything but a class: of `cargo xtask services up`.
pub fn java(home: &Path, tls: bool) -> Vec<String> {
    let entry = recorded("rocketmq");
    let recorded: Vec<String> = entry["command"]
        .as_array()
        .expect("a command")
        .iter()
        .filter_map(|part| part.as_str().map(str::to_owned))
        .collect();
    let mut java: Vec<String> = Vec::new();
    for part in recorded {
        match part.as_str() {
            "-Dtls.server.mode=permissive" if !tls => java.push("-Dtls.server.mode=disabled".into()),
            home_of if home_of.starts_with("-Duser.home=") => {
                java.push(format!("-Duser.home={}", home.display()))
            }
            "-Xmx512m" => java.push("-Xmx384m".into()),
            _ => java.push(part),
        }
    }
    java
}

impl Launch for RocketMq {
    fn name(&self) -> &'static str {
        "rocketmq"
    }

    fn ports(&self) -> usize {
        3
    }

    fn prepare(&self, place: &Instance) {
        let write = |name: &str, text: String| {
            std::fs::write(place.folder.join(name), text).expect("a file of settings");
        };
        let names = place.port();
        write("namesrv.conf", format!("bindAddress=127.0.0.1\nlistenPort={names}\n"));
        let (port, slaves) = (place.ports[1], place.ports[2]);
        let data = place.folder.join("store");
        std::fs::create_dir_all(&data).expect("a folder");
        let (data, host) = (data.display(), self.host());
        let mut settings = format!(
            "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\nbrokerIP1={host}\n\
             bindAddress={host}\nlistenPort={port}\nhaListenPort={slaves}\nnamesrvAddr=127.0.0.1:{names}\n\
             registerNameServerPeriod=10000\nstorePathRootDir={data}\nstorePathCommitLog={data}/commitlog\n\
             mappedFileSizeCommitLog=16777216\nmappedFileSizeConsumeQueue=60000\nmaxHashSlotNum=5000\nmaxIndexNum=20000\n\
             mappedFileSizeTimerLog=1048576\nflushDiskType=ASYNC_FLUSH\nautoCreateTopicEnable=true\ncleanResourceInterval=1000\n"
        );
        if self.secured {
            let (user, password) = ADMIN;
            let of = |part: &str, name: &str| format!("org.apache.rocketmq.auth.{part}.provider.{name}");
            settings += &format!(
                "authenticationEnabled=true\nauthorizationEnabled=true\n\
                 authenticationProvider={}\nauthenticationMetadataProvider={}\n\
                 authorizationProvider={}\nauthorizationMetadataProvider={}\n\
                 authConfigPath={}\n\
                 initAuthenticationUser={{\"username\":\"{user}\",\"password\":\"{password}\"}}\n\
                 innerClientAuthenticationCredentials={{\"accessKey\":\"{user}\",\"secretKey\":\"{password}\"}}\n",
                of("authentication", "DefaultAuthenticationProvider"),
                of("authentication", "LocalAuthenticationMetadataProvider"),
                of("authorization", "DefaultAuthorizationProvider"),
                of("authorization", "LocalAuthorizationMetadataProvider"),
                place.folder.join("auth").display(),
            );
        }
        write("broker.conf", settings);
    }

    fn commands(&self, place: &Instance) -> Vec<Command> {
        let java = java(&place.folder, self.secured);
        let mut names = Command::new(&java[0]);
        names
            .args(&java[1..])
            .args(["org.apache.rocketmq.namesrv.NamesrvStartup", "-c"])
            .arg(place.folder.join("namesrv.conf"));
        let mut broker = Command::new("unshare");
        broker.args(["--mount", "bash", "-c", &script(&java, place)]);
        let mut commands = vec![names, broker];
        for command in &mut commands {
            command.env("ROCKETMQ_HOME", &place.folder).current_dir(&place.folder);
        }
        commands
    }

    fn probe(&self, place: &Instance) -> Result<(), String> {
        TcpStream::connect((self.host(), broker_port(place))).map_err(|error| format!("broker: {error}"))?;
        // 106: GET_BROKER_CLUSTER_INFO.
        let header = r#"{"code":106,"flag":0,"language":"JAVA","opaque":1,"version":479}"#;
        let length = header.len() as u32;
        let frame = [&(length + 4).to_be_bytes(), &length.to_be_bytes(), header.as_bytes()].concat();
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", place.port()))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(&frame)?;
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let mut answer = vec![0; u32::from_be_bytes(length).min(1 << 20) as usize];
            stream.read_exact(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = ask().map_err(|error: std::io::Error| format!("name server: {error}"))?;
        if answer.contains("\"brokerName\"") { Ok(()) } else { Err("no broker is registered".into()) }
    }
}

/// The broker begins when the name server listens, so that it is registered at once. The shell becomes the broker.
fn script(java: &[String], place: &Instance) -> String {
    let java: Vec<String> = java.iter().map(|part| format!("'{part}'")).collect();
    let (names, folder) = (place.port(), place.folder.display());
    format!(
        "cd '{folder}'
if [ -e small-disk ]; then
  rm -rf store.copy && cp -a --sparse=always store store.copy
  mount -t tmpfs -o size=256m none store && cp -a --sparse=always store.copy/. store/
  (while kill -0 $$ 2>/dev/null; do
    if [ -e fill ]; then [ -e store/filler ] || fallocate -l 236M store/filler || head -c 236M /dev/zero > store/filler
    else rm -f store/filler; fi
    sleep 0.2
  done) &
fi
until (exec 3<>/dev/tcp/127.0.0.1/{names}) 2>/dev/null; do sleep 0.05; done
exec {} org.apache.rocketmq.broker.BrokerStartup -c broker.conf
",
        java.join(" ")
    )
}
