//! The load generator: open connections, each with one request at a time, until a time or a number of requests is reached.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderMap, Method, Request, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{net::TcpStream, task::JoinSet};

use super::arrivals::Arrivals;

/// The longest time that can be recorded, in microseconds.
const TIME_US_MAX: u64 = 60_000_000;
/// Longest time for one request and the delivery it causes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most requests before the measurement begins.
const WARM_UP_MAX: u64 = 200;

/// How long a measurement runs.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// For this time.
    Time(Duration),
    /// For this number of requests.
    Requests(u64),
}

/// The result of a measurement.
pub struct Measured {
    /// The name of what was measured.
    pub name: &'static str,
    /// Number of requests.
    pub count: u64,
    /// Time they took together.
    pub elapsed: Duration,
    /// Processor time (user and kernel) of the whole process: load generator, host, store and endpoints.
    pub cpu: Duration,
    /// Time of each request, in microseconds.
    pub histogram: Histogram<u64>,
    /// Whether requests over HTTP were measured; then the rate is compared with the bare server's.
    pub over_http: bool,
}

impl Measured {
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Processor time for each request, in microseconds. Other load on the machine changes the rate but hardly this figure.
    pub fn cpu_us_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.count.max(1) as f64)
    }
}

/// Measures time and processor time.
pub struct Stopwatch {
    begun: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { begun: Instant::now(), cpu: process_time() }
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The result of the measurement that began with this stopwatch.
    pub fn stop(self, name: &'static str, histogram: Histogram<u64>, over_http: bool) -> Measured {
        let (elapsed, cpu) = (self.elapsed(), process_time().saturating_sub(self.cpu));
        Measured { name, count: histogram.len(), elapsed, cpu, histogram, over_http }
    }
}

/// Processor time that this process has used, in all threads, user and kernel.
fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// An empty histogram of microseconds, with three significant digits.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(TIME_US_MAX, 3)?)
}

/// Adds a time to a histogram.
pub fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(TIME_US_MAX).clamp(1, TIME_US_MAX));
}

/// A request to send again and again.
pub struct Shot {
    /// The name of what is measured.
    pub name: &'static str,
    pub address: SocketAddr,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    /// Makes the body of a request from its number.
    pub body: fn(u64) -> String,
    /// The status that every answer must have.
    pub status: u16,
    /// The endpoint at which the request's delivery must arrive before the request counts as done.
    pub arrivals: Option<Arc<Arrivals>>,
}

/// Warms up, then sends as much as the budget allows on each of `connections`.
pub async fn measure(shot: Shot, budget: Budget, connections: u16) -> anyhow::Result<Measured> {
    let shot = Arc::new(shot);
    let numbers = Arc::new(AtomicU64::new(0));
    let warm_up = match budget {
        Budget::Time(_) => WARM_UP_MAX,
        Budget::Requests(count) => (count / 10).clamp(1, WARM_UP_MAX),
    };
    round(&shot, &numbers, Budget::Requests(warm_up), connections, &ProgressBar::hidden()).await?;
    let bar = progress(shot.name, budget);
    let measured = round(&shot, &numbers, budget, connections, &bar).await;
    bar.finish_and_clear();
    measured
}

/// A progress bar on a terminal; nothing elsewhere.
pub fn progress(name: &'static str, budget: Budget) -> ProgressBar {
    let (length, template) = match budget {
        Budget::Time(time) => (time.as_millis(), "{msg:32} {bar:40} {elapsed}"),
        Budget::Requests(count) => (u128::from(count), "{msg:32} {bar:40} {pos}/{len}"),
    };
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX)).with_message(name);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn round(
    shot: &Arc<Shot>,
    numbers: &Arc<AtomicU64>,
    budget: Budget,
    connections: u16,
    bar: &ProgressBar,
) -> anyhow::Result<Measured> {
    let mut senders = Vec::new();
    for _ in 0..connections {
        senders.push(connect(shot.address).await?);
    }
    let (watch, done) = (Stopwatch::start(), Arc::new(AtomicU64::new(0)));
    let limit = match budget {
        Budget::Time(time) => Limit { numbers: Arc::clone(numbers), until: Some(Instant::now() + time), below: u64::MAX },
        Budget::Requests(count) => {
            let below = numbers.load(Ordering::Relaxed) + count;
            Limit { numbers: Arc::clone(numbers), until: None, below }
        }
    };
    let mut workers = JoinSet::new();
    for sender in senders {
        workers.spawn(fire(Arc::clone(shot), sender, limit.clone(), Arc::clone(&done)));
    }
    let mut total = histogram()?;
    let mut shown = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            joined = workers.join_next() => match joined {
                Some(one) => total.add(one.context("a connection's task ended badly")??)?,
                None => break,
            },
            _ = shown.tick() => bar.set_position(match budget {
                Budget::Time(_) => u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX),
                Budget::Requests(_) => done.load(Ordering::Relaxed),
            }),
        }
    }
    numbers.fetch_min(limit.below, Ordering::Relaxed);
    Ok(watch.stop(shot.name, total, true))
}

/// Which numbers may still be sent.
#[derive(Clone)]
struct Limit {
    numbers: Arc<AtomicU64>,
    until: Option<Instant>,
    below: u64,
}

impl Limit {
    fn next(&self) -> Option<u64> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        (number < self.below).then_some(number)
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // If the connection fails, the request on it reports the error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn fire(shot: Arc<Shot>, mut sender: SendRequest<Full<Bytes>>, limit: Limit, done: Arc<AtomicU64>) -> anyhow::Result<Histogram<u64>> {
    let mut times = histogram()?;
    while let Some(number) = limit.next() {
        let body = (shot.body)(number);
        let arrival = shot.arrivals.as_ref().map(|arrivals| arrivals.expect(number));
        let begun = Instant::now();
        let one = async {
            send(&shot, &mut sender, body).await?;
            match arrival {
                Some(arrival) => arrival.await.context("the endpoint went away"),
                None => Ok(()),
            }
        };
        match tokio::time::timeout(PATIENCE, one).await {
            Ok(one) => one.with_context(|| format!("{}, request {number}", shot.name))?,
            Err(_) => bail!("{}, request {number}: accepted or not, nothing came of it within {} seconds", shot.name, PATIENCE.as_secs()),
        }
        record(&mut times, begun.elapsed());
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(times)
}

async fn send(shot: &Shot, sender: &mut SendRequest<Full<Bytes>>, body: String) -> anyhow::Result<()> {
    sender.ready().await?;
    let mut request = Request::builder().method(Method::POST).uri(&shot.target).body(Full::from(body))?;
    request.headers_mut().clone_from(&shot.headers);
    request.headers_mut().insert(HOST, shot.address.to_string().parse()?);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status == shot.status, "answered {status} instead of {}: {}", shot.status, String::from_utf8_lossy(&body));
    Ok(())
}
