//! The server: it reads a call, lets the provider answer, and does to the answer what the fault says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::fault::{Call, Fault};
use crate::http::{Request, Response, read};
use crate::plan::Plan;
use crate::providers::{self, Gateway};
use crate::receipts::{self, Pending, Push};
use crate::state::{Account, Handled, Message, State};
use crate::{Clock, manage};

/// How long a slow answer waits between its bytes. Real time.
const SLOW: Duration = Duration::from_millis(200);

/// How much a huge answer adds.
const HUGE: usize = 4 << 20;

/// All simulated gateways on one address. Cheap to clone; all clones see the same phones.
#[derive(Clone)]
pub struct Simulator {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Simulator({} messages)", self.state().messages.len())
    }
}

/// What a connection is told to do with an answer.
enum Wire {
    Whole(Response),
    Slow(Response),
    Half(Response),
    Close,
    Reset,
}

impl Simulator {
    /// Gateways that know this account, with this plan of faults and receipts.
    pub fn new(account: Account, plan: Plan, clock: Clock) -> Simulator {
        let state = State { account, plan, ..State::default() };
        Simulator { state: Arc::new(Mutex::new(state)), clock }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every message that a gateway took, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.state().messages.clone()
    }

    /// Every call and what was done with it, in order.
    pub fn handled(&self) -> Vec<Handled> {
        self.state().handled.clone()
    }

    /// The next calls of this kind meet these faults, in order, before the plan's.
    pub fn script(&self, gateway: Gateway, call: Call, faults: &[Fault]) {
        self.state().scripts.entry((gateway, call)).or_default().extend(faults);
    }

    /// The receipts that are due, the earliest first. They are pushed by this: whoever takes them has them.
    pub fn due_receipts(&self) -> Vec<Push> {
        let now = (self.clock)();
        receipts::due(&mut self.state().pending, now).iter().map(|one| one.push().clone()).collect()
    }

    /// How many pushes are due now, and how many are still to come in all, the due ones included.
    pub fn pending_receipts(&self) -> (usize, usize) {
        let (now, state) = ((self.clock)(), self.state());
        (state.pending.iter().filter(|one| one.due(now)).count(), state.pending.len())
    }

    /// Pushes the receipts that are due to `{base}/aliyun` and `{base}/tencent`, and gives how many were taken.
    /// One that is not taken comes again later, three times.
    pub async fn push_receipts(&self, client: &reqwest::Client, base: &str) -> usize {
        let now = (self.clock)();
        let due = receipts::due(&mut self.state().pending, now);
        let (taken, again) = push(client, base, due, now).await;
        self.state().pending.extend(again);
        taken
    }

    /// A person writes an SMS back to what they got over this gateway. `false`: it pushes no replies.
    pub fn write_back(&self, gateway: Gateway, phone: &str, words: &str) -> bool {
        let reply = Pending::reply(gateway, phone, words, (self.clock)());
        let pushes = reply.is_some();
        self.state().replies.extend(reply);
        pushes
    }

    /// Pushes what was written back to `{base}/aliyun` and `{base}/tencent`, as [`Simulator::push_receipts`].
    pub async fn push_replies(&self, client: &reqwest::Client, base: &str) -> usize {
        let now = (self.clock)();
        let due = receipts::due(&mut self.state().replies, now);
        let (taken, again) = push(client, base, due, now).await;
        self.state().replies.extend(again);
        taken
    }

    /// Serves on this address (port 0: a free one) until the runtime ends.
    ///
    /// # Errors
    /// Those of opening the port.
    pub async fn serve(&self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let simulator = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let simulator = simulator.clone();
                tokio::spawn(async move { simulator.connection(stream).await });
            }
        });
        Ok(address)
    }

    async fn connection(&self, mut stream: TcpStream) {
        // An answer in two packets must not wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let mut kept = Vec::new();
        while let Some(request) = read(&mut stream, &mut kept).await {
            let written = match self.answer(&request) {
                Wire::Whole(response) => stream.write_all(&response.bytes()).await,
                Wire::Slow(response) => slowly(&mut stream, &response.bytes()).await,
                Wire::Half(response) => {
                    let bytes = response.bytes();
                    let half = bytes.len() - response.body.len() / 2 - 1;
                    let _ = stream.write_all(&bytes[..half]).await;
                    return;
                }
                Wire::Close => return,
                Wire::Reset => {
                    let _ = stream.set_zero_linger();
                    return;
                }
            };
            if written.is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Wire {
        let now = (self.clock)();
        let mut state = self.state();
        if let Some(response) = manage::answer(&mut state, request, now) {
            return Wire::Whole(response);
        }
        let Some((gateway, call)) = providers::called(request) else {
            return Wire::Whole(Response::json(
                404,
                &serde_json::json!({"error": "no gateway has this path"}),
            ));
        };
        let fault = state.next_fault(gateway, call, providers::about(gateway, request));
        let done = |state: &mut State| providers::answer(state, gateway, call, request, now);
        let (code, wire) = match fault {
            Some(fault) if !fault.after() => before(gateway, fault),
            _ => {
                let (code, response) = done(&mut state);
                (code, after(fault, response))
            }
        };
        state.handled.push(Handled { gateway, call, fault, code, at: now });
        wire
    }
}

/// Pushes all of them; gives how many were taken, and those that come again.
async fn push(client: &reqwest::Client, base: &str, due: Vec<Pending>, now: i64) -> (usize, Vec<Pending>) {
    let (mut taken, mut again) = (0, Vec::new());
    for one in due {
        let Push { gateway, body } = one.push().clone();
        let request = client.post(format!("{base}/{}", gateway.as_str()));
        let request = request.header("content-type", "application/json").body(body);
        let answer = async { request.send().await.ok()?.json::<serde_json::Value>().await.ok() }.await;
        let yes = answer.is_some_and(|answer| answer["code"] == 0 || answer["result"] == 0);
        taken += usize::from(yes);
        if !yes {
            again.extend(one.again(now));
        }
    }
    (taken, again)
}

/// Faults that keep the gateway from looking at the call.
fn before(gateway: Gateway, fault: Fault) -> (String, Wire) {
    let whole = |status, headers: &str, body: &[u8]| {
        Wire::Whole(Response { status, headers: headers.to_owned(), body: body.to_vec() })
    };
    let wire = match fault {
        Fault::ServerError => whole(500, "", b""),
        Fault::TooMany => whole(429, "retry-after: 60\r\n", b""),
        Fault::Html => {
            whole(200, "content-type: text/html\r\n", b"<html><body>OK: please log in</body></html>")
        }
        Fault::Busy => Wire::Whole(Response::json(200, &providers::busy(gateway))),
        Fault::OddCode => Wire::Whole(Response::json(200, &providers::odd(gateway))),
        _ => Wire::Close,
    };
    (format!("({})", fault.as_str()), wire)
}

/// Faults that befall the answer.
fn after(fault: Option<Fault>, response: Response) -> Wire {
    match fault {
        Some(Fault::ServerErrorAfter) => Wire::Whole(Response { status: 500, ..response }),
        Some(Fault::AcceptThenDrop) => Wire::Close,
        Some(Fault::Reset) => Wire::Reset,
        Some(Fault::Slow) => Wire::Slow(response),
        Some(Fault::Truncated) => Wire::Half(response),
        Some(Fault::HalfJson) => {
            let body = response.body[..response.body.len() / 2].to_vec();
            Wire::Whole(Response { body, ..response })
        }
        Some(Fault::Huge) => {
            let mut body = vec![b' '; HUGE];
            body.extend(&response.body);
            Wire::Whole(Response { body, ..response })
        }
        _ => Wire::Whole(response),
    }
}

async fn slowly(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(std::slice::from_ref(byte)).await?;
        tokio::time::sleep(SLOW).await;
    }
    Ok(())
}
