//! Connections: bounded in number and time, each request with the address it came from.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 256;
/// How long the head of a request may take, the wait for it on an open connection included.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last in all.
const CONNECTION: Duration = Duration::from_secs(120);

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub IpAddr);

/// Serves until `stop` resolves, then takes no more connections; those that are open end with their request or after 2 minutes.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::pin!(stop);
    loop {
        let permit = tokio::select! {
            () = &mut stop => return,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let (Ok(permit), Ok((stream, from))) = (permit, accepted) else {
            // Out of file descriptors, or the other side has gone: not for ever.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(from.ip()))));
        tokio::spawn(async move {
            let _permit = permit;
            let mut builder = Builder::new(TokioExecutor::new()).http1_only();
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
            // Whatever ends a connection ends it for its peer alone.
            let _ = tokio::time::timeout(CONNECTION, builder.serve_connection(TokioIo::new(stream), service))
                .await;
        });
    }
}
