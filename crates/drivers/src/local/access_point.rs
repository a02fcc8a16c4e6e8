//! An open folder. Everything in the process that connects to the same folder shares it; it is closed with the last
//! handle.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use openmessaging::{
    AccessPointUrl, Capabilities, ConsumerOptions, Diagnosis, Error, Finding, KeyValueStore,
    MessagingAccessPoint, Producer, ProducerOptions, Properties, PullConsumer, ResourceManager, Result,
    StatusCode,
};
use tokio_util::sync::CancellationToken;

use super::admin::LocalResources;
use super::catalog::Catalog;
use super::config::Config;
use super::consumer::LocalConsumer;
use super::error::{self, bad_parameter};
use super::housekeeping::{Housekeeper, Housekeeping, store_checkpoints};
use super::key_value::{LocalStore, StoreState};
use super::lock::FolderLock;
use super::log::lock;
use super::meta::Meta;
use super::producer::LocalProducer;
use super::writer::WriterHandle;

/// The folders that are open in this process, and how many handles each has. A lock on a folder is the process's, so
/// this is too. Held while a folder is opened or closed: who wants the same one waits.
static OPEN: Mutex<Option<OpenFolders>> = Mutex::new(None);

type OpenFolders = HashMap<PathBuf, (Arc<Shared>, usize)>;

/// Runs what waits for the disk where waiting is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| {
        let why = if ended.is_cancelled() { "was cancelled" } else { "panicked" };
        Err(Error::new(StatusCode::ServerError, format!("work on the folder {why}")))
    })
}

/// The folder cannot be used at all.
pub(super) fn unusable(folder: &Path, cause: &io::Error) -> Error {
    let message = format!("{} cannot be used as the folder of a local broker: {cause}", folder.display());
    Error::new(StatusCode::DriverFailed, message).with_remedy("name a folder that this user may write to")
}

/// What is open once for each folder.
pub(super) struct Shared {
    pub folder: PathBuf,
    pub config: Config,
    properties: Properties,
    pub meta: Arc<Meta>,
    pub catalog: Arc<Catalog>,
    pub writer: Arc<WriterHandle>,
    housekeeper: Housekeeper,
    stores: Mutex<HashMap<String, Arc<StoreState>>>,
    lock: Mutex<Option<FolderLock>>,
}

impl Shared {
    fn open(folder: PathBuf, properties: &Properties) -> Result<Self> {
        let config = Config::parse(properties)?;
        let lock = FolderLock::take(&folder)?;
        let meta = Arc::new(Meta::open(&folder)?);
        let catalog = Arc::new(Catalog::open(&folder, &config, &meta)?);
        let writer = Arc::new(WriterHandle::start(&folder, catalog.clone(), meta.clone(), &config)?);
        let work = Housekeeping {
            catalog: catalog.clone(),
            meta: meta.clone(),
            writer: writer.clone(),
            config: config.clone(),
        };
        Ok(Self {
            housekeeper: Housekeeper::start(&folder, work)?,
            folder,
            config,
            properties: properties.clone(),
            meta,
            catalog,
            writer,
            stores: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Ends the threads, having written what waited, and lets go of the folder.
    fn close(&self) {
        self.writer.close();
        self.housekeeper.close();
        store_checkpoints(&self.catalog, &self.meta);
        self.meta.close();
        lock(&self.lock).take();
    }
}

/// One `connect`. Closing it closes what was made through it, and the folder with the last one.
pub(super) struct Handle {
    pub url: AccessPointUrl,
    pub shared: Arc<Shared>,
    pub closed: CancellationToken,
    released: AtomicBool,
}

impl Handle {
    /// Opens the folder of the URL, or shares it. Blocks.
    pub fn open(url: AccessPointUrl, path: &Path, properties: &Properties) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|cause| unusable(path, &cause))?;
        let folder = path.canonicalize().map_err(|cause| unusable(path, &cause))?;
        let mut open = lock(&OPEN);
        let open = open.get_or_insert_default();
        let shared = match open.get_mut(&folder) {
            Some((shared, handles)) => {
                if !properties.is_empty() && *properties != shared.properties {
                    let message =
                        format!("{} is open in this process with other properties", folder.display());
                    return Err(bad_parameter(message).with_remedy("use the same ones, or none"));
                }
                *handles += 1;
                shared.clone()
            }
            None => {
                let shared = Arc::new(Shared::open(folder.clone(), properties)?);
                open.insert(folder, (shared.clone(), 1));
                shared
            }
        };
        Ok(Self { url, shared, closed: CancellationToken::new(), released: AtomicBool::new(false) })
    }

    /// # Errors
    /// `Closed`.
    pub fn check(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(error::closed(&self.shared.folder)) } else { Ok(()) }
    }

    /// Lets go of the folder, once. Blocks.
    fn release(&self) {
        self.closed.cancel();
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut open = lock(&OPEN);
        let Some(open) = open.as_mut() else { return };
        if let Some((_, handles)) = open.get_mut(&self.shared.folder) {
            *handles -= 1;
            if *handles == 0 {
                self.shared.close();
                open.remove(&self.shared.folder);
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.release();
    }
}

/// Below so many free bytes on its disk a folder is about to fail.
const LITTLE_ROOM: u64 = 1024 * 1024 * 1024;

fn diagnose(folder: &Path) -> Finding {
    let (code, subject) = ("local.disk", folder.display().to_string());
    match nix::sys::statvfs::statvfs(folder) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            let message = format!("{} MiB are free on its disk", free >> 20);
            if free >= LITTLE_ROOM {
                return Finding::ok(code, subject, message);
            }
            let remedy = "make room, or set retention.bytes on queues: a full disk stops every producer";
            Finding::warning(code, subject, message, remedy)
        }
        Err(error) => Finding::error(
            code,
            subject,
            format!("its disk cannot be looked at: {error}"),
            "look at the state of that disk",
        ),
    }
}

pub(super) struct LocalAccessPoint(pub Arc<Handle>);

#[async_trait]
impl MessagingAccessPoint for LocalAccessPoint {
    fn url(&self) -> &AccessPointUrl {
        &self.0.url
    }

    fn capabilities(&self) -> Capabilities {
        super::capabilities(self.0.shared.config.max_message_bytes)
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        self.0.check()?;
        Ok(Box::new(LocalProducer::new(self.0.clone(), &options)))
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.0.check()?;
        Ok(Box::new(LocalConsumer::new(self.0.clone(), options)))
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        Arc::new(LocalResources { handle: self.0.clone() })
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        self.0.check()?;
        let mut stores = lock(&self.0.shared.stores);
        let state = match stores.get(name) {
            Some(state) => state.clone(),
            None => {
                let state = Arc::new(StoreState::new(name)?);
                stores.insert(name.to_owned(), state.clone());
                state
            }
        };
        Ok(Arc::new(LocalStore { handle: self.0.clone(), state }))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.0.check()?;
        let folder = self.0.shared.folder.clone();
        let finding = blocking(move || Ok(diagnose(&folder))).await?;
        let broker = format!("embedded queue {}", env!("CARGO_PKG_VERSION"));
        Ok(Diagnosis { broker, findings: vec![finding] })
    }

    async fn close(&self) -> Result<()> {
        let handle = self.0.clone();
        handle.closed.cancel();
        blocking(move || {
            handle.release();
            Ok(())
        })
        .await
    }
}
