//! One file in a folder of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use connectors::file;
use openmessaging_connector::{Config, PluginInfo, Schema, SinkRecord, Value};
use tempfile::TempDir;
use testkit::collect::Record;
use testkit::ledger::Event;
use testkit::sink::{Repeats, SinkFixture};
use testkit::source::{SourceFixture, Start, Wrong};

pub fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a file to append to");
    file.write_all(bytes.as_ref()).expect("written");
}

/// A folder that can be moved out of the way and back.
pub struct Folder {
    root: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("logs")).expect("a folder");
        Self { root }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("logs").join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn away(&self) -> PathBuf {
        self.root.path().join("away")
    }

    fn hide(&self) {
        std::fs::rename(self.path(""), self.away()).expect("renamed");
    }

    fn show(&self) {
        std::fs::rename(self.away(), self.path("")).expect("renamed");
    }

    fn wrong(&self, base: &Config) -> Vec<Wrong> {
        let with = |key: &str, value: &str| {
            let mut config = base.clone();
            config.insert(key.to_owned(), value.to_owned());
            config
        };
        let nowhere = self.text("nowhere/app.log");
        let folder = self.path("").display().to_string();
        let inside = self.text("plain/app.log");
        append(&self.path("plain"), "a file, no folder\n");
        vec![
            Wrong::new(
                "an unknown key",
                with("fille", "x"),
                "config.unknown_key",
                &["fille", "did you mean file?"],
            ),
            Wrong::new("an empty name", with("file", " "), "config.invalid", &["file"]),
            Wrong::new("no folder", with("file", &nowhere), "file.no_folder", &["file", &nowhere]),
            Wrong::new("a file for a folder", with("file", &inside), "file.no_folder", &["file", &inside]),
            Wrong::new("a folder", with("file", &folder), "file.not_a_file", &["file", &folder]),
            Wrong::new("a device", with("file", "/dev/full"), "file.not_a_file", &["file", "/dev/full"]),
            Wrong::new(
                "a name too long",
                with("file", &self.text(&"x".repeat(300))),
                "file.bad_path",
                &["file", "xxx"],
            ),
        ]
    }
}

pub struct SourceFile {
    pub folder: Folder,
}

impl SourceFile {
    pub fn new() -> Self {
        Self { folder: Folder::new() }
    }
}

#[async_trait]
impl SourceFixture for SourceFile {
    fn plugin(&self) -> PluginInfo {
        file::source()
    }

    fn config(&self) -> Config {
        config(&[("file", &self.folder.text("app.log")), ("topic", "lines")])
    }

    async fn write(&mut self, events: &[Event]) {
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        append(&self.folder.path("app.log"), lines);
    }

    fn event(&self, record: &Record) -> Option<Event> {
        record.value.as_ref()?.as_str()?.parse().ok()
    }

    fn starts(&self) -> Vec<Start> {
        let start = |from: &str, sees_existing| {
            let mut config = self.config();
            config.insert("start.from".to_owned(), from.to_owned());
            Start { name: format!("start.from={from}"), config, sees_existing }
        };
        vec![start("begin", true), start("end", false)]
    }

    async fn interrupt(&mut self) {
        self.folder.hide();
    }

    async fn restore(&mut self) {
        self.folder.show();
    }

    async fn left_open(&mut self) -> Vec<String> {
        testkit::child::open_below(self.folder.root.path())
    }

    async fn write_every_kind(&mut self) -> usize {
        let lines: [&[u8]; 6] = [
            b"\n",
            b"windows\r\n",
            "h\u{e4}, \u{1f600}\n".as_bytes(),
            b"\xff\xfe\n",
            b"\0\n",
            &[b'x'; 100_000],
        ];
        append(&self.folder.path("app.log"), lines.concat());
        append(&self.folder.path("app.log"), "\n");
        6
    }

    async fn write_bulk(&mut self, bytes: usize) -> usize {
        let line = format!("{}\n", "x".repeat(499));
        let block = line.repeat(2000);
        let blocks = bytes.div_ceil(block.len());
        (0..blocks).for_each(|_| append(&self.folder.path("app.log"), &block));
        blocks * 2000
    }

    fn unstartable(&self) -> Config {
        config(&[("file", &self.folder.text("nowhere/app.log")), ("topic", "lines")])
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let mut cases = self.folder.wrong(&self.config());
        let mut with = |name, key: &str, value: &str| {
            let mut config = self.config();
            config.insert(key.to_owned(), value.to_owned());
            cases.push(Wrong::new(name, config, "config.invalid", &[key]));
        };
        with("a batch of no size", "batch.size", "0");
        with("a start that is none", "start.from", "middle");
        cases
    }
}

pub struct SinkFile {
    pub folder: Folder,
}

impl SinkFile {
    pub fn new() -> Self {
        Self { folder: Folder::new() }
    }
}

#[async_trait]
impl SinkFixture for SinkFile {
    fn plugin(&self) -> PluginInfo {
        file::sink()
    }

    fn config(&self) -> Config {
        config(&[("file", &self.folder.text("out.txt"))])
    }

    fn record(&self, event: Event, offset: u64) -> SinkRecord<'static> {
        record(Value::Str(event.to_string().into()), offset)
    }

    fn tombstone(&self, _key: u32, offset: u64) -> SinkRecord<'static> {
        record(Value::Null, offset)
    }

    fn unwritable(&self, _offset: u64) -> Option<SinkRecord<'static>> {
        None
    }

    fn repeats(&self) -> Repeats {
        Repeats::Show
    }

    async fn contents(&mut self) -> Result<Vec<Event>, String> {
        let text = std::fs::read_to_string(self.folder.path("out.txt")).map_err(|error| error.to_string())?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(format!("the last line is torn: {:?}", text.lines().last()));
        }
        text.lines().filter(|line| *line != "null").map(str::parse).collect()
    }

    async fn interrupt(&mut self) {
        self.folder.hide();
    }

    async fn restore(&mut self) {
        self.folder.show();
    }

    async fn left_open(&mut self) -> Vec<String> {
        testkit::child::open_below(self.folder.root.path())
    }

    fn unstartable(&self) -> Config {
        config(&[("file", &self.folder.text("nowhere/out.txt"))])
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let mut config = self.config();
        config.insert("line.breaks".to_owned(), "drop".to_owned());
        let mut cases = self.folder.wrong(&self.config());
        cases.push(Wrong::new("a way that is none", config, "config.invalid", &["line.breaks"]));
        cases
    }
}

pub fn record(value: Value<'static>, offset: u64) -> SinkRecord<'static> {
    SinkRecord {
        offset,
        timestamp_ms: 0,
        key_schema: None,
        key: Value::Null,
        value_schema: Some(Schema::string()),
        value,
        headers: Vec::new(),
    }
}
