//! A small HTTP client for a worker's REST API. Every wait has a limit, every answer a largest size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::{Failure, Result};

/// Until the connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until the answer to a request is complete; a worker gives up on its side before.
const ANSWER: Duration = Duration::from_secs(100);
/// The largest answer, and the longest line of a stream, in bytes.
const MAX: usize = 64 << 20;

/// A worker by the URL of its REST API.
#[derive(Debug, Clone)]
pub struct Worker {
    /// As the user wrote it, without a slash at the end.
    url: String,
    host: String,
    port: u16,
    /// What stands before every path: empty, or where a proxy has the API.
    prefix: String,
}

/// An answer with a status from 200 to 299.
#[derive(Debug, Clone)]
pub struct Answer {
    pub body: Bytes,
}

impl Answer {
    pub fn json<T: serde::de::DeserializeOwned>(&self, worker: &Worker) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| worker.nonsense(&error.to_string()))
    }
}

impl Worker {
    /// # Errors
    /// `worker.url`, exit code 2: not a URL of the form `http://host[:port][/prefix]`.
    pub fn new(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Failure::usage("worker.url", format!("--worker {url}: {what}"))
                .with_remedy("write http://HOST:PORT, for example http://127.0.0.1:8081")
        };
        let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| wrong("this is not a URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong("TLS is not supported: a worker's REST API speaks plain HTTP"));
            }
            _ => return Err(wrong("it must start with http://")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(Failure::usage(
                "worker.url",
                "--worker: a worker has no accounts, leave out what is before @",
            ));
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.request(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &impl serde::Serialize) -> Result<Answer> {
        let body =
            serde_json::to_vec(body).map_err(|error| Failure::new("worker.request", error.to_string()))?;
        self.request(Method::POST, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.request(Method::DELETE, path, None).await
    }

    async fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer> {
        let whole = async {
            let response = self.send(method, path, body).await?;
            let status = response.status();
            let body = self.whole(response).await?;
            if status.is_success() { Ok(Answer { body }) } else { Err(self.refused(status, &body)) }
        };
        timeout(ANSWER, whole).await.unwrap_or_else(|_| Err(self.silent("did not answer within 100 s")))
    }

    /// An answer that goes on, line by line.
    pub async fn lines(&self, path: &str) -> Result<Lines> {
        let start = async {
            let response = self.send(Method::GET, path, None).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(Lines { worker: self.clone(), body: response.into_body(), rest: BytesMut::new() });
            }
            let body = self.whole(response).await?;
            Err(self.refused(status, &body))
        };
        timeout(ANSWER, start).await.unwrap_or_else(|_| Err(self.silent("did not answer within 100 s")))
    }

    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Response<Incoming>> {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream = match timeout(CONNECT, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.silent(&format!("cannot be reached: {error}"))),
            Err(_) => return Err(self.silent("cannot be reached within 5 s")),
        };
        let broken = |error: hyper::Error| self.silent(&format!("broke the connection: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the last of `sender` and the answer's body.
        tokio::spawn(connection);
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(HOST, format!("{host}:{}", self.port))
            .header(ACCEPT, "*/*");
        let request = match &body {
            Some(_) => request.header(CONTENT_TYPE, "application/json"),
            None => request,
        };
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| Failure::new("worker.request", format!("{path}: {error}")))?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes> {
        let body = Limited::new(response.into_body(), MAX).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| self.nonsense(&error.to_string()))
    }

    fn silent(&self, what: &str) -> Failure {
        Failure::new("worker.unreachable", format!("the worker at {} {what}", self.url)).with_remedy(
            "start one with `omsconnect worker`, name another with --worker URL, or read the broker itself with \
             --driver-url URL",
        )
    }

    fn nonsense(&self, what: &str) -> Failure {
        Failure::new("worker.answer", format!("{} does not answer as a worker does: {what}", self.url))
            .with_remedy("is something else listening there? check --worker URL")
    }

    /// What the worker says is wrong, in its own words.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        #[derive(serde::Deserialize)]
        struct Refusal {
            message: String,
            code: Option<String>,
        }
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => {
                let code = refusal.code.unwrap_or_else(|| format!("worker.{}", status.as_u16()));
                Failure::new(code, refusal.message)
            }
            Err(_) => self.nonsense(&format!("HTTP {status}")),
        }
    }
}

/// The lines of an answer that goes on.
pub struct Lines {
    worker: Worker,
    body: Incoming,
    rest: BytesMut,
}

impl Lines {
    /// The next lines, whole, each with its line end; `None` at the end of the answer. Waits as long as there is none.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(self.rest.split_to(end + 1).to_vec()));
            }
            if self.rest.len() > MAX {
                return Err(self.worker.nonsense("a line is longer than 64 MiB"));
            }
            match self.body.frame().await {
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(self.worker.silent("ended in the middle of a message")),
                Some(Ok(frame)) => self.rest.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                Some(Err(error)) => {
                    return Err(self.worker.silent(&format!("broke the connection: {error}")));
                }
            }
        }
    }
}

/// A text as one segment of a path, or as a value in a query.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_wrong_ones_named() {
        let worker = Worker::new("http://[::1]:1/a/").expect("a URL");
        assert_eq!((worker.host.as_str(), worker.port, worker.prefix.as_str()), ("::1", 1, "/a"));
        assert_eq!(Worker::new("http://host").expect("a URL").port, 80);
        for (url, what) in [
            ("localhost:8081", "must start with http://"),
            ("https://h:1", "TLS"),
            ("http://me:pw@h:1", "no accounts"),
            ("", "not a URL"),
        ] {
            let text = Worker::new(url).expect_err(url).to_string();
            assert!(text.contains(what) && !text.contains("pw"), "{url}: {text}");
        }
    }

    #[test]
    fn an_error_is_told_in_the_workers_words() {
        let worker = Worker::new("http://h:1").expect("a URL");
        let body = br#"{"error_code":404,"message":"no queue x","code":"queue.not_found"}"#;
        let text = worker.refused(StatusCode::NOT_FOUND, body).to_string();
        assert_eq!(text, "error[queue.not_found]: no queue x\n");
        let text = worker.refused(StatusCode::BAD_GATEWAY, b"<html>").to_string();
        assert!(text.contains("502") && text.contains("http://h:1"), "{text}");
    }
}
