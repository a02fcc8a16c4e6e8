//! The sockets of lapin: those of tokio, read as the connection's [`Intake`] says.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures::Stream;
use futures::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::intake::Intake;

/// What lapin runs on.
pub(super) type OnTokio = Runtime<RuntimeParts<Tokio, Sockets>>;

/// Read at once where the socket is not to be read: less than one message in many cases, and a sign of life.
const SIP: usize = 4096;

#[derive(Debug, Clone)]
pub(super) struct Sockets {
    tokio: Tokio,
    intake: Arc<Intake>,
    /// So often a little is read all the same: lapin gives a connection up on which nothing comes for long.
    sips: Duration,
}

/// To be called on tokio. `heartbeat`: of the connection.
pub(super) fn runtime(intake: Arc<Intake>, heartbeat: Duration) -> OnTokio {
    let tokio = Tokio::current();
    let sockets = Sockets { tokio: tokio.clone(), intake, sips: heartbeat / 2 };
    Runtime::new(RuntimeParts::new(tokio, sockets))
}

impl Reactor for Sockets {
    type TcpStream = Socket<<Tokio as Reactor>::TcpStream>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = std::time::Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.tokio.tcp_connect_addr(address);
        let sip = Box::pin(self.tokio.sleep(self.sips));
        let (intake, sips) = (self.intake.clone(), self.sips);
        async move { Ok(Socket { inner: connecting.await?, intake, sips, sip }) }
    }
}

#[derive(Debug)]
pub(super) struct Socket<S> {
    inner: S,
    intake: Arc<Intake>,
    sips: Duration,
    /// Until then nothing is read where it is not to be read.
    sip: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.intake.lets_in(context.waker()) {
            return Pin::new(&mut this.inner).poll_read(context, buffer);
        }
        if this.sip.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let few = buffer.len().min(SIP);
        let read = Pin::new(&mut this.inner).poll_read(context, &mut buffer[..few]);
        if read.is_ready() {
            this.sip.as_mut().reset(Instant::now() + this.sips);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}
