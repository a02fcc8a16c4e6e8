//! Queues as resources.

use std::sync::Arc;

use async_trait::async_trait;
use openmessaging::{QueueDescription, QueueSpec, ResourceManager, Result};

use super::catalog::Catalog;

pub(super) struct RedisResources {
    pub catalog: Arc<Catalog>,
}

#[async_trait]
impl ResourceManager for RedisResources {
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.catalog.client.link.check()?;
        self.catalog.create(spec).await
    }

    async fn describe_queue(&self, name: &str) -> Result<QueueDescription> {
        self.catalog.client.link.check()?;
        let queue = self.catalog.find(name).await?;
        let partitions = self.catalog.describe(&queue).await?;
        Ok(QueueDescription { name: name.to_owned(), partitions })
    }

    async fn list_queues(&self) -> Result<Vec<String>> {
        self.catalog.client.link.check()?;
        self.catalog.list().await
    }

    async fn delete_queue(&self, name: &str) -> Result<()> {
        self.catalog.client.link.check()?;
        self.catalog.delete(name).await
    }
}
