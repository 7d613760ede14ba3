//! As much of HTTP/1.1 as a gateway needs, byte by byte: a server library takes care that answers come whole,
//! and here some must not. Reading a head is `httparse`'s.

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The most of a request that is read, in bytes.
const LIMIT: usize = 1 << 20;

/// One request, as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
    /// The path.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
    /// The query as it came.
    pub fn raw_query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
    /// The query, decoded; a name that comes twice has its last value.
    pub fn query(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.raw_query().as_bytes()).into_owned().collect()
    }
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Further header lines, each with its line end.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// JSON with this status.
    pub fn json(status: u16, body: &serde_json::Value) -> Response {
        let headers = "content-type: application/json\r\n".to_owned();
        Response { status, headers, body: body.to_string().into_bytes() }
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let (status, headers, length) = (self.status, &self.headers, self.body.len());
        let mut bytes =
            format!("HTTP/1.1 {status} Simulated\r\n{headers}content-length: {length}\r\n\r\n").into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

/// The next request of a connection; `None` at its end, or where what comes is no request.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some((mut request, head, length)) = parse(kept)? {
            let whole = head.checked_add(length).filter(|whole| *whole <= LIMIT)?;
            while kept.len() < whole {
                more(stream, kept).await?;
            }
            request.body = kept[head..whole].to_vec();
            kept.drain(..whole);
            return Some(request);
        }
        if kept.len() > LIMIT {
            return None;
        }
        more(stream, kept).await?;
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
    kept.extend(&buffer[..n]);
    Some(())
}

/// A whole head with its length and that of the body; `Some(None)` where more must come, `None` where it is
/// no request that is understood here.
#[allow(clippy::type_complexity)]
fn parse(bytes: &[u8]) -> Option<Option<(Request, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(bytes).ok()? else { return Some(None) };
    let mut request =
        Request { method: parsed.method?.to_owned(), target: parsed.path?.to_owned(), ..Request::default() };
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        request.headers.insert(header.name.to_ascii_lowercase(), value);
    }
    if request.header("transfer-encoding").is_some() {
        return None;
    }
    let length = request.header("content-length").unwrap_or("0").parse().ok()?;
    Some(Some((request, head, length)))
}
