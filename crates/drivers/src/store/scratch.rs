//! A `redb` database in a file without a name, gone with the process: where a store over a queue keeps what it read, so
//! that a million keys take little memory. Nothing in it must last, so nothing is synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use openmessaging::{Error, Result, StatusCode};
use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

/// What is kept of the file in memory.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
struct Unsynced(File);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// The database. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Scratch(Arc<Database>);

impl Scratch {
    pub fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(|error| failed(&error))?;
        let built = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(Unsynced(file));
        built.map(|database| Self(Arc::new(database))).map_err(|error| failed(&error))
    }

    pub fn reading(&self) -> Result<ReadTransaction> {
        self.0.begin_read().map_err(|error| failed(&error))
    }

    pub fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> std::result::Result<T, redb::Error>,
    ) -> Result<T> {
        read(&self.reading()?).map_err(|error| failed(&error))
    }

    pub fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> std::result::Result<T, redb::Error>,
    ) -> Result<T> {
        let done = self.0.begin_write().map_err(redb::Error::from).and_then(|transaction| {
            let result = write(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        done.map_err(|error| failed(&error))
    }
}

fn failed(cause: &dyn std::fmt::Display) -> Error {
    let folder = std::env::temp_dir();
    Error::new(StatusCode::ServerError, format!("a file without a name in {}: {cause}", folder.display()))
        .with_remedy("make room in that folder, or name another one in TMPDIR")
}
