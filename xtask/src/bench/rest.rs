//! The worker's REST API, so far as workloads need it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;

/// No answer of a worker that is well takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Rest {
    pub url: String,
    agent: ureq::Agent,
}

impl Rest {
    pub fn new(port: u16) -> Rest {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(PATIENCE)).build().new_agent();
        Rest { url: format!("http://127.0.0.1:{port}"), agent }
    }

    /// Whether it answers at all, which it does once the worker has started.
    pub fn answers(&self) -> bool {
        self.get("/").is_ok()
    }

    pub fn create_connector(&self, name: &str, config: &Value) -> Result<()> {
        self.post("/connectors", &json!({"name": name, "config": config}))
    }

    pub fn create_queue(&self, name: &str) -> Result<()> {
        self.post("/queues", &json!({"name": name}))
    }

    /// Deletes a queue that an earlier run may have left.
    pub fn delete_queue(&self, name: &str) -> Result<()> {
        let path = format!("/queues/{name}");
        match self.answer(&path, self.agent.delete(format!("{}{path}", self.url)).call())? {
            (200..=299 | 404, _) => Ok(()),
            (status, answer) => Err(format!("deleting queue {name}, the worker answers {status}: {answer}")),
        }
    }

    /// How many messages are in a queue: what the broker says that it has, not what a connector says that it sent.
    pub fn count(&self, queue: &str) -> Result<u64> {
        match self.get(&format!("/queues/{queue}"))? {
            // It is made by the first record.
            (404, _) => Ok(0),
            (200, queue) => count(&queue).ok_or_else(|| format!("the worker describes a queue as {queue}")),
            (status, answer) => {
                Err(format!("asked for queue {queue}, the worker answers {status}: {answer}"))
            }
        }
    }

    /// What the connector or a task of it has failed with, if any has.
    pub fn failure(&self, connector: &str) -> Result<Option<String>> {
        match self.get(&format!("/connectors/{connector}/status"))? {
            (200, status) => Ok(failure(&status)),
            (status, answer) => Err(format!("asked for {connector}, the worker answers {status}: {answer}")),
        }
    }

    fn get(&self, path: &str) -> Result<(u16, Value)> {
        self.answer(path, self.agent.get(format!("{}{path}", self.url)).call())
    }

    fn post(&self, path: &str, body: &Value) -> Result<()> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        match self.answer(path, request.send(body.to_string()))? {
            (200..300, _) => Ok(()),
            (status, answer) => Err(format!("the worker refuses POST {path}: {status} {answer}")),
        }
    }

    fn answer(&self, path: &str, got: Answer) -> Result<(u16, Value)> {
        let problem = |error: ureq::Error| format!("no answer from {}{path}: {error}", self.url);
        let mut response = got.map_err(problem)?;
        let text = response.body_mut().read_to_string().map_err(problem)?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}

type Answer = std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>;

/// The messages of a queue, all its partitions together.
fn count(queue: &Value) -> Option<u64> {
    let partitions = queue.get("partitions")?.as_array()?;
    let kept =
        |partition: &Value| partition.get("end")?.as_u64()?.checked_sub(partition.get("begin")?.as_u64()?);
    partitions.iter().map(kept).sum()
}

/// The first trace in a status in which anything is FAILED.
fn failure(status: &Value) -> Option<String> {
    let tasks = status.get("tasks").and_then(Value::as_array).into_iter().flatten();
    let failed = |work: &&Value| work.get("state").and_then(Value::as_str) == Some("FAILED");
    let work = status.get("connector").into_iter().chain(tasks).find(failed)?;
    Some(work.get("trace").and_then(Value::as_str).unwrap_or("it has FAILED").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_counted_over_its_partitions() {
        let queue = json!({"name": "q", "partitions": [
            {"partition": 0, "begin": 2, "end": 10}, {"partition": 1, "begin": 0, "end": 1},
        ]});
        assert_eq!(count(&queue), Some(9));
        assert_eq!(count(&json!({"partitions": []})), Some(0));
        assert_eq!(count(&json!({"partitions": [{"begin": 3, "end": 1}]})), None);
        assert_eq!(count(&json!({"error": "x"})), None);
    }

    #[test]
    fn a_failed_task_is_found_with_its_trace() {
        let status = |connector: &str, task: &str| json!({"connector": {"state": connector}, "tasks": [{"id": 0, "state": task, "trace": "no such host"}]});
        assert_eq!(failure(&status("RUNNING", "RUNNING")), None);
        assert_eq!(failure(&status("RUNNING", "FAILED")).as_deref(), Some("no such host"));
        assert_eq!(failure(&status("FAILED", "RUNNING")).as_deref(), Some("it has FAILED"));
    }
}
