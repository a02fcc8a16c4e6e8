//! A process that writes is killed with SIGKILL at random moments, 50 times on the same folder.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, ProducerOptions, QueuePartition, QueueSpec, StartAt,
};
use testkit::child;

use crate::fixture::connect;

const ROUNDS: u64 = 50;
const QUEUES: [&str; 3] = ["a", "b", "c"];
const PARTITIONS: u64 = 2;
const PLACES: u64 = 3 * PARTITIONS;
const PROPERTIES: [(&str, &str); 1] = [("segment.bytes", "65536")];

fn body(number: u64) -> Vec<u8> {
    let length = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize;
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + length, number as u8);
    body
}

/// The child: sends with several batches in flight, and notes in a file what was acknowledged: how many messages of
/// the round, and which value of a key. (What a process wrote to a file stays when it is killed.)
async fn write(folder: &Path, round: u64) {
    let point = connect(folder, &PROPERTIES).await.expect("opened");
    let acknowledged = File::create(folder.with_extension("ack")).expect("a file");
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    let store = point.key_value_store("progress").await.expect("a store");
    let acknowledged = Arc::new(acknowledged);
    let note = acknowledged.clone();
    tokio::spawn(async move {
        for value in 1_u64.. {
            store.put("round", &(round << 32 | value).to_le_bytes()).await.expect("put");
            note.write_all_at(&(round << 32 | value).to_le_bytes(), 8).expect("noted");
        }
    });
    let queues = QUEUES.map(Arc::<str>::from);
    let (mut next, mut done) = (0, 0);
    let mut in_flight = std::collections::VecDeque::new();
    loop {
        while in_flight.len() < 6 {
            let mut batch = MessageBatch::new();
            for _ in 0..1 + next % 37 {
                let place = next % PLACES;
                let queue = &queues[(place / PARTITIONS) as usize];
                let number = round << 32 | next;
                batch.start().finish(queue, Some((place % PARTITIONS) as u32), 1, Some(&body(number)));
                next += 1;
            }
            in_flight.push_back(producer.send(batch));
        }
        let report = in_flight.pop_front().expect("in flight").await;
        assert!(report.error.is_none(), "{report:?}");
        done += report.batch.len() as u64;
        acknowledged.write_all_at(&done.to_le_bytes(), 0).expect("noted");
    }
}

fn noted(folder: &Path) -> (u64, u64) {
    let bytes = std::fs::read(folder.with_extension("ack")).unwrap_or_default();
    let number = |at: usize| {
        bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    (number(0), number(8))
}

/// The numbers in each partition from these offsets on; every body is whole.
async fn read(point: &dyn MessagingAccessPoint, from: &mut HashMap<u64, u64>) -> Vec<Vec<u64>> {
    let mut all = Vec::new();
    for place in 0..PLACES {
        let queue = QUEUES[(place / PARTITIONS) as usize];
        let partition = QueuePartition::new(queue, (place % PARTITIONS) as u32);
        let mut consumer = point.pull_consumer(ConsumerOptions::default()).await.expect("a consumer");
        let next = from.entry(place).or_default();
        consumer.assign(&[(partition.clone(), StartAt::Offset(*next))]).await.expect("assigned");
        let mut numbers = Vec::new();
        while let Some(batch) = consumer.poll(1 << 20, Duration::ZERO).await.expect("polled") {
            for (message, offset) in batch.messages.iter().zip(&batch.offsets) {
                assert_eq!(offset, next, "offsets are dense");
                *next += 1;
                let bytes = message.body.expect("a body");
                let number = u64::from_le_bytes(bytes[..8].try_into().expect("a number"));
                assert!(bytes == body(number), "{partition} holds a torn message at {offset}");
                numbers.push(number);
            }
        }
        let described = point.resources().describe_queue(queue).await.expect("described");
        assert_eq!(described.partitions[(place % PARTITIONS) as usize].end, *next, "all of it was read");
        all.push(numbers);
    }
    all
}

#[test]
fn nothing_acknowledged_is_lost_by_fifty_kills() {
    if let Some(argument) = child::role("writer") {
        let (round, folder) = argument.split_once(' ').expect("round and folder");
        return testkit::block_on(write(Path::new(folder), round.parse().expect("a round")));
    }
    let root = tempfile::TempDir::new().expect("a folder");
    let folder = root.path().join("broker");
    testkit::block_on(async {
        let point = connect(&folder, &PROPERTIES).await.expect("opened");
        for queue in QUEUES {
            let spec = QueueSpec::new(queue, PARTITIONS as u32);
            point.resources().create_queue(&spec).await.expect("created");
        }
        point.close().await.expect("closed");
        let (mut from, mut total, mut seed) = (HashMap::new(), 0, 0x2545_f491_4f6c_dd1d_u64);
        for round in 1..=ROUNDS {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let argument = format!("{round} {}", folder.display());
            let _ = std::fs::remove_file(folder.with_extension("ack"));
            let mut writer =
                child::spawn("kill::nothing_acknowledged_is_lost_by_fifty_kills", "writer", &argument);
            let started = Instant::now();
            while noted(&folder).0 == 0 {
                assert!(
                    started.elapsed() < Duration::from_secs(60) && writer.is_running(),
                    "it does not write"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(seed % 60_000));
            writer.kill();
            let (acknowledged, value) = noted(&folder);
            let point = connect(&folder, &PROPERTIES).await.expect("opened after a kill");
            for (place, numbers) in read(&*point, &mut from).await.iter().enumerate() {
                // The messages of a place are a dense sequence: what is stored is its beginning, in order, and not
                // shorter than what was acknowledged.
                let sent = (0..).map(|step| round << 32 | (step * PLACES + place as u64));
                let due = (acknowledged + PLACES - 1 - place as u64) / PLACES;
                assert!(numbers.iter().copied().eq(sent.take(numbers.len())), "round {round}: order or gap");
                assert!(numbers.len() as u64 >= due, "round {round}: {} of {due} are there", numbers.len());
                total += numbers.len();
            }
            let store = point.key_value_store("progress").await.expect("a store");
            let stored = store.get("round").await.expect("asked").map(|stored| stored.value);
            let stored = stored.and_then(|value| value.try_into().ok()).map_or(0, u64::from_le_bytes);
            assert!(stored >= value, "round {round}: {stored:x} is stored, {value:x} was acknowledged");
            point.close().await.expect("closed");
        }
        let point = connect(&folder, &PROPERTIES).await.expect("opened");
        let again: usize = read(&*point, &mut HashMap::new()).await.iter().map(Vec::len).sum();
        assert_eq!(again, total, "all of every round is still there");
        assert!(total as u64 > ROUNDS * 100, "only {total} messages were written in all");
        println!("{total} messages, {ROUNDS} kills");
        point.close().await.expect("closed");
    });
}
