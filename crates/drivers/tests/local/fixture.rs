//! A folder for a test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use drivers::local::LocalDriver;
use openmessaging::{
    AccessPointUrl, Driver, MessagingAccessPoint, Properties, QueueSpec, Result, StatusCode,
};
use tempfile::TempDir;
use testkit::driver::{DriverFixture, Wrong};

/// A folder of its own, removed with it.
pub struct Folder {
    root: TempDir,
    /// Counts crashes: each goes on in a copy.
    life: usize,
}

pub fn url(path: &Path) -> AccessPointUrl {
    format!("oms:local://{}", path.display()).parse().expect("a URL")
}

pub async fn connect(path: &Path, properties: &[(&str, &str)]) -> Result<Arc<dyn MessagingAccessPoint>> {
    let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    LocalDriver.connect(&url(path), &properties).await
}

impl Folder {
    pub fn new() -> Self {
        Self { root: TempDir::new().expect("a folder"), life: 0 }
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join(format!("life {}", self.life).replace(' ', "-"))
    }
}

/// What a kill at this moment would leave: the kernel has all that was written. (That nothing is lost when it happens
/// at any moment is for `kill.rs`, with a process that is really killed.)
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[async_trait]
impl DriverFixture for Folder {
    fn driver(&self) -> Arc<dyn Driver> {
        let registry = drivers::registry();
        registry.find("local").expect("the local driver").clone()
    }

    fn url(&self) -> AccessPointUrl {
        url(&self.path())
    }

    fn properties(&self) -> Properties {
        let properties = [("retention.check.ms", "50"), ("max.message.bytes", "8388608")];
        properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        let file = self.root.path().join("a-file");
        std::fs::write(&file, b"x").expect("written");
        let case = |name: &str, url: &str, status, names: &[&str]| Wrong {
            name: name.to_owned(),
            url: url.parse().expect("a URL"),
            properties: Properties::new(),
            status,
            names: names.iter().map(|name| name.to_string()).collect(),
            secrets: Vec::new(),
        };
        let (file, failed) = (file.display().to_string(), StatusCode::DriverFailed);
        let mut wrong = vec![
            case("a file", &format!("oms:local://{file}"), failed, &[&file]),
            case("below a file", &format!("oms:local://{file}/x"), failed, &[&file]),
            // Not even root can write there.
            case("not writable", "oms:local:///proc/oms-nothing", failed, &["/proc/oms-nothing"]),
            case("a server", "oms:local://me:hush@host:1/default", StatusCode::BadUrl, &["takes a folder"]),
        ];
        wrong[3].secrets.push("hush".to_owned());
        let mut unknown = case(
            "an unknown property",
            &format!("{}", self.url()),
            StatusCode::BadParameter,
            &["segment.byte", "segment.bytes"],
        );
        unknown.properties.insert("segment.byte".to_owned(), "1".to_owned());
        wrong.push(unknown);
        wrong
    }

    async fn crash(&mut self) {
        let before = self.path();
        self.life += 1;
        copy(&before, &self.path());
    }

    fn retain_little(&self, spec: &mut QueueSpec) -> usize {
        spec.retention_bytes = Some(8 * 1024);
        spec.properties.insert("segment.bytes".to_owned(), "4096".to_owned());
        256 * 1024
    }
}
