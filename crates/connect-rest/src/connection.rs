//! Connections that forgive what browsers' users and older tools send.
//!
//! The original's README shows `GET /connectors/NAME?config={"connector-class":"..."}`. Browsers encode the quotes; curl,
//! wget and Java's `HttpURLConnection` send them as they are, and its server took them. RFC 3986 has no quotes in a URI,
//! and our HTTP library refuses them, so they are encoded here, in the request line alone, before it sees them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Accepts connections, without Nagle's delay.
pub struct LenientListener(pub TcpListener);

impl Listener for LenientListener {
    type Io = LenientStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LenientStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %address, "TCP_NODELAY could not be set");
        }
        (LenientStream::new(stream), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Tells a connection that what comes next is a request line.
#[derive(Debug, Clone)]
pub struct NextRequest(Arc<AtomicBool>);

impl NextRequest {
    /// To be called when a request without a body was answered: only then is it certain where the next one begins. After
    /// a request with a body the connection stays as strict as the HTTP library.
    pub fn begins(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, LenientListener>> for NextRequest {
    fn connect_info(stream: IncomingStream<'_, LenientListener>) -> Self {
        stream.io().next.clone()
    }
}

/// A connection.
pub struct LenientStream {
    stream: TcpStream,
    next: NextRequest,
    line: RequestLine,
    /// What encoding made longer than the reader's buffer.
    pending: Vec<u8>,
}

impl LenientStream {
    fn new(stream: TcpStream) -> Self {
        let next = NextRequest(Arc::new(AtomicBool::new(true)));
        Self { stream, next, line: RequestLine::Over, pending: Vec::new() }
    }

    fn take_pending(&mut self, out: &mut ReadBuf<'_>) {
        let count = self.pending.len().min(out.remaining());
        out.put_slice(&self.pending[..count]);
        self.pending.drain(..count);
    }
}

impl AsyncRead for LenientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.pending.is_empty() {
            this.take_pending(out);
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
        if out.filled().len() > before && this.next.0.swap(false, Ordering::AcqRel) {
            this.line = RequestLine::Start;
        }
        if this.line != RequestLine::Over {
            this.line.encode(&out.filled()[before..], &mut this.pending);
            out.set_filled(before);
            this.take_pending(out);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LenientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Where in a request line a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestLine {
    /// Before its first character; empty lines may stand there (RFC 9112, 2.2).
    Start,
    /// Before the query.
    Path,
    Query,
    /// Behind it: headers and body pass as they are.
    Over,
}

impl RequestLine {
    /// Appends `bytes` to `out`, encoding in the query what a URI may not hold.
    fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for (index, byte) in bytes.iter().enumerate() {
            match (*self, byte) {
                (RequestLine::Over, _) => return out.extend_from_slice(&bytes[index..]),
                (RequestLine::Start, b'\r' | b'\n') => {}
                (_, b'\n') => *self = RequestLine::Over,
                (RequestLine::Start, _) => *self = RequestLine::Path,
                (RequestLine::Path, b'?') => *self = RequestLine::Query,
                (RequestLine::Query, b'"' | b'<' | b'>') => {
                    out.extend_from_slice(match byte {
                        b'"' => b"%22",
                        b'<' => b"%3C",
                        _ => b"%3E",
                    });
                    continue;
                }
                _ => {}
            }
            out.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn encoded_bytes(chunks: &[&[u8]]) -> Vec<u8> {
        let mut line = RequestLine::Start;
        let mut out = Vec::new();
        for chunk in chunks {
            line.encode(chunk, &mut out);
        }
        out
    }

    fn encoded(chunks: &[&str]) -> String {
        let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        String::from_utf8(encoded_bytes(&chunks)).expect("UTF-8")
    }

    #[test]
    fn quotes_in_the_query_are_encoded_and_nothing_else() {
        let rest = "HTTP/1.1\r\nX-Q: ?\"quoted\"\r\n\r\n{\"body\":1}";
        assert_eq!(
            encoded(&[&format!("GET /a?config={{\"k\":\"<v>\"}} {rest}")]),
            format!("GET /a?config={{%22k%22:%22%3Cv%3E%22}} {rest}")
        );
        assert_eq!(encoded(&[&format!("POST /a {rest}")]), format!("POST /a {rest}"));
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let whole = "\r\nGET /a?c={\"k\":1} HTTP/1.1\r\nH: \"v\"\r\n\r\n";
        let expected = "\r\nGET /a?c={%22k%22:1} HTTP/1.1\r\nH: \"v\"\r\n\r\n";
        for at in 0..whole.len() {
            assert_eq!(encoded(&[&whole[..at], &whole[at..]]), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_pass_the_same_in_any_pieces(bytes: Vec<u8>, at: prop::sample::Index, quoted in "[?\"<> \r\n]{0,20}") {
            let bytes = [quoted.as_bytes(), &bytes].concat();
            let at = at.index(bytes.len() + 1);
            let whole = encoded_bytes(&[&bytes]);
            prop_assert_eq!(&whole, &encoded_bytes(&[&bytes[..at], &bytes[at..]]));
            prop_assert!(whole.len() <= 3 * bytes.len());
        }
    }
}
