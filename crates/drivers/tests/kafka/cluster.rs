//! Three brokers: leaders, coordinators and controllers move.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::kafka::KafkaDriver;
use openmessaging::{
    ConsumerOptions, Driver, MessageBatch, ProducerOptions, QueuePartition, QueueSpec, StartAt,
};
use testkit::block_on;
use testkit::broker::{Instance, Launch, PrivateBroker};
use testkit::driver::unique;

use crate::fixture::{properties, url};
use testkit::broker::kafka::{Kafka, java, temporary};

const NODES: usize = 3;

struct Three(Kafka);

impl Three {
    fn folder(place: &Instance, node: usize) -> std::path::PathBuf {
        place.folder.join(format!("node-{node}"))
    }

    fn java(&self) -> Command {
        java(&self.0.jars, "256m")
    }
}

impl Launch for Three {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn ports(&self) -> usize {
        2 * NODES
    }

    fn prepare(&self, place: &Instance) {
        let voters: Vec<_> =
            (0..NODES).map(|node| format!("{}@127.0.0.1:{}", node + 1, place.ports[NODES + node])).collect();
        for node in 0..NODES {
            let folder = Self::folder(place, node);
            std::fs::create_dir(&folder).expect("a folder");
            let text = format!(
                "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
default.replication.factor=3
min.insync.replicas=2
offsets.topic.num.partitions=3
offsets.topic.replication.factor=3
log.cleaner.dedupe.buffer.size=8388608
auto.create.topics.enable=false
",
                id = node + 1,
                voters = voters.join(","),
                port = place.ports[node],
                controller = place.ports[NODES + node],
                data = folder.join("data").display(),
            );
            let configuration = folder.join("server.properties");
            std::fs::write(&configuration, text).expect("a configuration");
            let mut format = self.java();
            format.args(["kafka.tools.StorageTool", "format", "-t", "b21zY29ubmVjdC10ZXN0cw", "-c"]);
            let output = format.arg(configuration).stdin(Stdio::null()).output().expect("java");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    fn commands(&self, place: &Instance) -> Vec<Command> {
        (0..NODES)
            .map(|node| {
                let folder = Self::folder(place, node);
                // The shell becomes java, under the same number.
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\"; exec \"$@\""]).arg(folder.join("pid"));
                let java = self.java();
                shell.arg(java.get_program()).args(java.get_args());
                shell.arg(temporary(&folder)).arg("kafka.Kafka").arg(folder.join("server.properties"));
                shell
            })
            .collect()
    }

    fn probe(&self, place: &Instance) -> Result<(), String> {
        for node in 0..NODES {
            let ports = vec![place.ports[node]];
            self.0.probe(&Instance { folder: place.folder.clone(), ports })?;
        }
        Ok(())
    }
}

fn kill(place: &Instance, node: usize) {
    let pid = std::fs::read_to_string(Three::folder(place, node).join("pid")).expect("a pid");
    let status = Command::new("kill").args(["-KILL", pid.trim()]).status().expect("kill");
    assert!(status.success());
}

/// A broker of three is killed in a load: nothing acknowledged is lost, nothing comes twice, the order stays; positions and
/// topics can be made as before.
#[test]
fn a_broker_of_three_is_killed() {
    const BATCHES: u64 = 400;
    const PER_BATCH: u64 = 30;
    block_on(async {
        let broker = PrivateBroker::start(Three(Kafka::of_services()));
        let place = broker.place().clone();
        let servers: Vec<_> = (0..NODES).map(|node| format!("127.0.0.1:{}", place.ports[node])).collect();
        let url = url(&format!("oms:kafka://{}/default", servers.join(",")));
        let given = properties(&[("request.timeout.ms", "60000")]);
        let point = KafkaDriver.connect(&url, &given).await.expect("open");
        let queue: Arc<str> = unique("cluster").into();
        point.resources().create_queue(&QueueSpec::new(&*queue, 6)).await.expect("created");
        let group = unique("group");
        let options = ConsumerOptions { group, prefetch_bytes: None };
        let mut consumer = point.pull_consumer(options).await.expect("a consumer");
        let all: Vec<_> =
            (0..6).map(|partition| (QueuePartition::new(queue.clone(), partition), StartAt::Begin)).collect();
        consumer.assign(&all).await.expect("assigned");
        consumer.commit(&[(all[0].0.clone(), 0)]).await.expect("committed");
        let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");

        let (mut sent, mut sends) = (0, std::collections::VecDeque::new());
        for number in 0..BATCHES {
            if number == BATCHES / 3 {
                kill(&place, 1);
            }
            let mut batch = MessageBatch::new();
            for _ in 0..PER_BATCH {
                let mut writer = batch.start();
                writer.key(Some(format!("key{}", sent % 17).as_bytes()));
                writer.finish(&queue, None, 1, Some(format!("{sent:08}").as_bytes()));
                sent += 1;
            }
            sends.push_back(producer.send(batch));
            tokio::time::sleep(Duration::from_millis(5)).await;
            if sends.len() > 20 {
                let report = sends.pop_front().expect("one").await;
                assert!(report.error.is_none(), "{report:?}");
            }
        }
        for send in sends {
            let report = send.await;
            assert!(report.error.is_none(), "{report:?}");
        }

        let (mut read, mut last) = (0, HashMap::<Vec<u8>, String>::new());
        let begin = Instant::now();
        while read < sent && begin.elapsed() < Duration::from_secs(60) {
            let Some(batch) = consumer.poll(1 << 20, Duration::from_millis(500)).await.expect("polled")
            else {
                continue;
            };
            for message in batch.messages.iter() {
                let text = String::from_utf8_lossy(message.body.unwrap_or_default()).into_owned();
                let before = last.insert(message.key.unwrap_or_default().to_vec(), text.clone());
                assert!(before.as_ref().is_none_or(|before| *before < text), "{text} came behind {before:?}");
                read += 1;
            }
        }
        assert_eq!(read, sent, "each once");
        consumer.commit(&[(all[0].0.clone(), 3)]).await.expect("committed without that broker");
        assert_eq!(consumer.committed(&all[0].0).await.expect("asked"), Some(3));
        point.resources().create_queue(&QueueSpec::new(unique("cluster"), 3)).await.expect("created");
        let diagnosis = point.diagnose().await.expect("diagnosed");
        assert!(
            diagnosis.findings.iter().any(|finding| finding.code == "kafka.under-replicated"),
            "{diagnosis:?}"
        );
        point.close().await.expect("closed");
    });
}
