//! Queues as resources.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{QueueDescription, QueueSpec, ResourceManager, Result};

use super::access_point::Handle;
use super::writer::Command;

pub(super) struct LocalResources {
    pub handle: Arc<Handle>,
}

#[async_trait]
impl ResourceManager for LocalResources {
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.handle.check()?;
        let shared = &self.handle.shared;
        shared.catalog.create(spec, &shared.meta).await
    }

    async fn describe_queue(&self, name: &str) -> Result<QueueDescription> {
        self.handle.check()?;
        let queue = self.handle.shared.catalog.find(name)?;
        let shared = self.handle.shared.clone();
        let name = name.to_owned();
        super::access_point::blocking(move || {
            let logs = (0..queue.partitions()).map(|partition| queue.log(partition, &shared.meta));
            let partitions = logs.map(|log| log.map(|log| log.describe())).collect::<Result<_>>()?;
            Ok(QueueDescription { name, partitions })
        })
        .await
    }

    async fn list_queues(&self) -> Result<Vec<String>> {
        self.handle.check()?;
        Ok(self.handle.shared.catalog.all().iter().map(|queue| queue.name.to_string()).collect())
    }

    async fn delete_queue(&self, name: &str) -> Result<()> {
        self.handle.check()?;
        let shared = &self.handle.shared;
        let id = shared.catalog.delete(name, &shared.meta).await?;
        shared.writer.submit(Command::Forget { queue: id })
    }
}
