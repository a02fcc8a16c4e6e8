//! What the sink leaves in a file, whatever happens to it.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::file;
use openmessaging_connector::{Config, Value};
use testkit::block_on;
use testkit::child;
use testkit::memory::MemoryState;
use testkit::sink::{Run, SinkFixture};

use super::fixture::{Folder, SinkFile, append, config, record};

async fn started(config: &Config, state: &Arc<MemoryState>) -> Run {
    Run::start(&file::sink(), config, state).await.expect("started")
}

fn text(value: &str) -> Value<'static> {
    Value::Str(value.to_owned().into())
}

#[test]
fn anothers_last_line_is_ended_and_kept() {
    block_on(async {
        let sink = SinkFile::new();
        let state = Arc::default();
        append(&sink.folder.path("out.txt"), "written by somebody");
        let mut run = started(&sink.config(), &state).await;
        run.put(0, vec![record(text("ours"), 0)]).await.expect("put");
        run.stop(&[]).await;
        append(&sink.folder.path("out.txt"), "again somebody");
        // Also after a kill: it was there before us.
        let run = started(&sink.config(), &state).await;
        run.kill();
        let mut run = started(&sink.config(), &state).await;
        run.put(0, vec![record(text("ours too"), 1)]).await.expect("put");
        run.stop(&[]).await;
        let contents = fs::read_to_string(sink.folder.path("out.txt")).expect("a file");
        assert_eq!(contents, "written by somebody\nours\nagain somebody\nours too\n");
    });
}

#[test]
fn our_own_torn_line_is_cut() {
    block_on(async {
        let sink = SinkFile::new();
        let state = Arc::default();
        let mut run = started(&sink.config(), &state).await;
        run.put(0, vec![record(text("whole"), 0)]).await.expect("put");
        run.task.flush().await.expect("flush");
        run.kill();
        // What a write leaves that was cut short by a kill.
        append(&sink.folder.path("out.txt"), "also whole\nhal");
        let mut run = started(&sink.config(), &state).await;
        assert_eq!(run.reporter.warned("file.torn_line_cut"), 1);
        assert_eq!(fs::read_to_string(sink.folder.path("out.txt")).expect("a file"), "whole\nalso whole\n");
        run.put(0, vec![record(text("half"), 1)]).await.expect("put");
        run.stop(&[]).await;
        assert_eq!(
            fs::read_to_string(sink.folder.path("out.txt")).expect("a file"),
            "whole\nalso whole\nhalf\n"
        );
    });
}

#[test]
fn a_file_that_was_renamed_or_deleted_is_made_anew() {
    block_on(async {
        let sink = SinkFile::new();
        let (out, old) = (sink.folder.path("out.txt"), sink.folder.path("out.txt.1"));
        let state = Arc::default();
        let mut run = started(&sink.config(), &state).await;
        run.put(0, vec![record(text("one"), 0)]).await.expect("put");
        fs::rename(&out, &old).expect("renamed");
        run.put(0, vec![record(text("two"), 1)]).await.expect("put");
        run.task.flush().await.expect("flush");
        run.put(0, vec![record(text("three"), 2)]).await.expect("put");
        fs::remove_file(&out).expect("removed");
        run.task.flush().await.expect("flush");
        // What was flushed went with the file; what was not is saved.
        assert_eq!(fs::read_to_string(&out).expect("a file"), "three\n");
        assert_eq!(fs::read_to_string(&old).expect("a file"), "one\n");
        assert_eq!(run.reporter.warned("file.deleted"), 1);
        run.stop(&[]).await;
    });
}

#[test]
fn line_breaks_within_a_text() {
    block_on(async {
        let sink = SinkFile::new();
        let mut config = sink.config();
        config.insert("line.breaks".to_owned(), "escape".to_owned());
        let mut run = started(&config, &Arc::default()).await;
        run.put(0, vec![record(text("two\nlines \\n"), 0)]).await.expect("put");
        run.stop(&[]).await;
        assert_eq!(fs::read_to_string(sink.folder.path("out.txt")).expect("a file"), "two\\nlines \\\\n\n");
    });
}

/// In a small file system of its own, made in a mount namespace, so that it is gone with the process.
#[test]
fn a_full_disk_loses_and_tears_nothing() {
    const TEST: &str = "sink::a_full_disk_loses_and_tears_nothing";
    if let Some(folder) = child::role("full") {
        return block_on(fill_and_free(&folder));
    }
    let folder = Folder::new();
    child::mounted(TEST, "full", &folder.path(""), "64k");
}

async fn fill_and_free(folder: &str) {
    let folder = std::path::Path::new(folder);
    let out = folder.join("out.txt");
    fs::write(folder.join("ballast"), vec![0; 40 << 10]).expect("ballast");
    let config = config(&[("file", &out.display().to_string())]);
    let mut run = started(&config, &Arc::default()).await;
    let line = "x".repeat(999);
    let batch = || (0..8).map(|offset| record(text(&line), offset)).collect::<Vec<_>>();
    run.put(0, batch()).await.expect("put");
    run.task.flush().await.expect("flush");
    let mut failed = None;
    for _ in 0..3 {
        failed = run.put(0, batch().into_iter().cycle().take(40).collect()).await.err();
        let error = failed.as_ref().expect("the disk is full");
        assert!(error.is_retriable() && error.code == "file.disk_full", "{error}");
        assert!(error.to_string().contains("out.txt"), "{error}");
        let contents = fs::read_to_string(&out).expect("a file");
        assert_eq!(contents, format!("{line}\n").repeat(8), "a part of a batch is left");
    }
    assert!(failed.is_some());
    fs::remove_file(folder.join("ballast")).expect("removed");
    run.put(0, batch().into_iter().cycle().take(40).collect()).await.expect("put");
    run.stop(&[]).await;
    assert_eq!(fs::read_to_string(&out).expect("a file"), format!("{line}\n").repeat(48));
}

/// K4: the data is on the disk when `flush` returns: the kernel was asked for it, file and folder.
#[test]
fn flush_asks_the_kernel_for_durability() {
    const TEST: &str = "sink::flush_asks_the_kernel_for_durability";
    if let Some(path) = child::role("flush") {
        return block_on(async {
            let mut run = started(&config(&[("file", &path)]), &Arc::default()).await;
            run.put(0, vec![record(text("one"), 0)]).await.expect("put");
            run.task.flush().await.expect("flush");
            fs::write(format!("{path}.flushed"), "").expect("written");
            run.kill();
        });
    }
    let folder = Folder::new();
    let trace = folder.path("trace");
    let done = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync,openat", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env("OMS_TEST_ROLE", "flush")
        .env("OMS_TEST_ARGUMENT", folder.text("out.txt"))
        .output()
        .expect("strace");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let trace = fs::read_to_string(&trace).expect("a trace");
    let before = trace.split("out.txt.flushed").next().expect("the part before the mark");
    let file = before.lines().any(|line| line.contains("fdatasync(") && line.contains("out.txt>"));
    let folder = before.lines().any(|line| line.contains(" fsync(") && line.contains("logs>"));
    assert!(file && folder, "no fsync of the file and its folder before flush returned: {before}");
}

/// K5 with real processes that are killed in the middle of their writes.
#[test]
fn a_killed_writer_tears_nothing() {
    if let Some(folder) = child::role("writer") {
        return block_on(write_until_killed(&folder));
    }
    let folder = Folder::new();
    let (out, flushed) = (folder.path("out.txt"), folder.path("flushed"));
    let mut torn = 0;
    for round in 0..20u64 {
        let mut writer = child::spawn("sink::a_killed_writer_tears_nothing", "writer", &folder.text(""));
        let start = Instant::now();
        let before = fs::metadata(&out).map_or(0, |metadata| metadata.len());
        while fs::metadata(&out).map_or(0, |metadata| metadata.len()) <= before {
            assert!(
                writer.is_running() && start.elapsed() < Duration::from_secs(20),
                "the writer does not write"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(7 * round % 50));
        writer.kill();
        torn += usize::from(!fs::read(&out).expect("a file").ends_with(b"\n"));
    }
    // The next start repairs; then every flushed record is there, and no line is anything but a whole record.
    let upto: u64 = fs::read_to_string(&flushed).expect("a mark").parse().expect("a number");
    block_on(async {
        let state = Arc::new(MemoryState::default());
        restore_state(&folder.path(""), &state).await;
        let run = started(&config(&[("file", &folder.text("out.txt"))]), &state).await;
        run.stop(&[]).await;
    });
    let contents = fs::read(&out).expect("a file");
    assert!(contents.ends_with(b"\n"));
    let mut seen = std::collections::HashSet::new();
    for line in String::from_utf8(contents).expect("text").lines() {
        let (number, filling) =
            line.split_once(' ').unwrap_or_else(|| panic!("{} bytes are no record", line.len()));
        assert_eq!(filling.len(), 100_000, "record {number} is torn");
        seen.insert(number.parse::<u64>().expect("a number"));
    }
    let lost: Vec<_> = (0..upto).filter(|number| !seen.contains(number)).collect();
    assert!(
        lost.is_empty() && upto > 0,
        "of {upto} flushed records {lost:?} are lost ({torn} kills tore a line)"
    );
}

/// The task's state as it would be at the broker: in a file.
async fn restore_state(folder: &std::path::Path, state: &Arc<MemoryState>) {
    use openmessaging_connector::TaskState as _;
    if let Ok(mark) = fs::read(folder.join("state")) {
        state.put("file-sink", &mark).await.expect("put");
    }
}

struct FileState(std::path::PathBuf, Arc<MemoryState>);

#[async_trait::async_trait]
impl openmessaging_connector::TaskState for FileState {
    async fn get(&self, name: &str) -> openmessaging_connector::Result<Option<Vec<u8>>> {
        self.1.get(name).await
    }

    async fn put(&self, name: &str, value: &[u8]) -> openmessaging_connector::Result<()> {
        fs::write(self.0.join("state.new"), value).expect("written");
        fs::rename(self.0.join("state.new"), self.0.join("state")).expect("renamed");
        self.1.put(name, value).await
    }

    async fn delete(&self, name: &str) -> openmessaging_connector::Result<()> {
        self.1.delete(name).await
    }

    async fn names(&self, prefix: &str) -> openmessaging_connector::Result<Vec<String>> {
        self.1.names(prefix).await
    }
}

async fn write_until_killed(folder: &str) {
    use openmessaging_connector::registry::Factory;
    use openmessaging_connector::{QueuePartition, SinkBatch, SinkTaskContext};
    let folder = std::path::Path::new(folder);
    let config = config(&[("file", &folder.join("out.txt").display().to_string())]);
    let memory = Arc::new(MemoryState::default());
    restore_state(folder, &memory).await;
    let Factory::Sink(make) = file::sink().factory else { panic!("no sink") };
    let mut connector = make();
    connector.start(&config).await.expect("started");
    let mut task = connector.task();
    let context = SinkTaskContext {
        connector: "killed".into(),
        task: 0,
        config,
        state: Arc::new(FileState(folder.to_owned(), memory)),
        reporter: Arc::new(testkit::memory::Recorder::default()),
    };
    task.start(context).await.expect("started");
    let mark = folder.join("flushed");
    let mut next: u64 = fs::read_to_string(&mark).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let filling = "x".repeat(100_000);
    loop {
        let records =
            (next..next + 40).map(|number| record(text(&format!("{number} {filling}")), number)).collect();
        let partition = QueuePartition { queue: "q".into(), partition: 0 };
        task.put(&SinkBatch { partition, records }).await.expect("put");
        task.flush().await.expect("flush");
        next += 40;
        fs::write(folder.join("flushed.new"), next.to_string()).expect("written");
        fs::rename(folder.join("flushed.new"), &mark).expect("renamed");
    }
}
