//! What all apps have in common: the frame of their pages, the checks of `Host` and `Origin`, and
//! the trace for the console.

use super::apps::{APPS, ENDPOINTS, INDEX, SHARED, STATEFUL, listed, pages};
use super::assets::Assets;
use super::hosts::Hosts;
use super::page::Page;
use super::texts::{Language, fill, for_scripts, text};
use super::{Broadcast, Echo, Health, Metrics, Options, Origins, Readiness, chat, console, editor, guide};
#[cfg(unix)]
use lariat::RestoreError;
use lariat::backplane::{Kept, Member, PublishError, StreamPosition};
use lariat::http::{HeaderValue, Response, StatusCode, header};
use lariat::observe::Turns;
use lariat::{
    Answer, Audience, ClientId, Clients, CloseReason, Escaped, Event, Handler, Message, Method, Position, Request,
    Router, TimerId, Trace,
};

/// The whole site: pages over plain HTTP, and the handlers of their sockets at the same paths.
pub struct Site {
    assets: Assets,
    origins: Origins,
    hosts: Hosts,
    /// Messages are not compressed, so that they can be read on the wire.
    is_plain: bool,
    router: Router<()>,
}

impl Site {
    /// Returns the site with all apps and endpoints.
    pub fn new(options: &Options) -> Site {
        let mut assets = Assets::default();
        SHARED.iter().for_each(|file| assets.add_file(file));
        for page in pages() {
            page.files.iter().for_each(|file| assets.add_file(file));
            let classroom = options.classroom;
            assets.add_page(
                page.path.clone(),
                page.reach,
                Box::new(move |language| render(&page, language, classroom)),
            );
        }
        for language in Language::ALL {
            assets.add_json(guide::index_path(language), Box::new(move || guide::index(language)));
        }
        let mut router = Router::new();
        for app in [&INDEX].into_iter().chain(APPS) {
            router = (app.route)(router, app.path, options);
        }
        router = router
            .route("/echo", Echo)
            .route("/broadcast", Broadcast)
            .route("/healthz", Health)
            .route("/readyz", Readiness)
            .route("/metrics", Metrics { more: options.more_metrics.clone() });
        Site {
            assets,
            origins: Origins::new(options.allowed_origins.iter().cloned()),
            hosts: Hosts::new(options.allowed_hosts.clone()),
            is_plain: options.teach,
            router,
        }
    }

    /// Returns whether this request may open a socket.
    fn admits(&self, request: &Request<'_>) -> bool {
        ENDPOINTS.contains(&request.path()) || self.origins.accept(request)
    }
}

/// Returns a page: its content within the shell. The scripts of some pages ask whether there is a
/// class.
fn render(page: &Page, language: Language, classroom: bool) -> String {
    let mut content = (page.content)(language);
    content.main = content.main.replace("{{classroom}}", if classroom { "on" } else { "off" });
    let title = if page.path == INDEX.path { content.title } else { format!("{} · Lariat", content.title) };
    let scripts = page.files.iter().filter(|file| file.name.ends_with(".js")).take(1);
    let scripts = scripts.map(|file| format!("<script type=\"module\" src=\"/assets/{}\"></script>\n", file.name));
    let styles = page.files.iter().filter(|file| file.name.ends_with(".css"));
    let styles = styles.map(|file| format!("<link rel=\"stylesheet\" href=\"/assets/{}\">\n", file.name));
    let nav = listed().map(|(path, name)| {
        let current = if path == page.app { " aria-current=\"page\"" } else { "" };
        format!("<a href=\"{path}\"{current}>{}</a>\n", text(language, &format!("{name}.title")))
    });
    let languages = Language::ALL.map(|other| {
        let current = if other == language { " aria-current=\"true\"" } else { "" };
        let (name, tag) = (other.name(), other.tag());
        format!("<a href=\"?lang={name}\" lang=\"{tag}\" hreflang=\"{tag}\"{current}>{}</a>\n", other.endonym())
    });
    let texts: Vec<&str> = ["shell"].into_iter().chain(page.texts.iter().copied()).collect();
    fill(language, include_str!("pages/shell.html"))
        .replace("{{lang}}", language.tag())
        .replace("{{head}}", &styles.chain(scripts).collect::<String>())
        .replace("{{nav}}", &nav.collect::<String>())
        .replace("{{languages}}", &languages.concat())
        .replace("{{title}}", &escaped(&title))
        .replace("{{description}}", &escaped(&content.description))
        .replace("{{texts}}", &for_scripts(language, &texts))
        .replace("{{main}}", &content.main)
}

/// Returns a text as HTML, which may stand in an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// Returns 403, with advice.
fn foreign(request: &Request<'_>) -> Answer {
    let origin = request.origin().unwrap_or_default();
    let sentence = format!(
        "Only pages of this site may use this, and the Origin is {origin:?}. \
         To allow pages of another origin: lariat serve --allow-origin ORIGIN. \
         Behind a proxy, the Host must be passed on; for nginx: proxy_set_header Host $http_host\n"
    );
    log::debug!("refused a request for {}: its Origin is {}", Escaped(request.path()), Escaped(origin));
    let mut response = Response::new(sentence.into_bytes());
    *response.status_mut() = StatusCode::FORBIDDEN;
    let content_type = lariat::http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(lariat::http::header::CONTENT_TYPE, content_type);
    response.into()
}

impl Handler for Site {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        self.router.on_start(clients);
        // What the others say to their pages is about state that other servers do not have.
        for app in [&INDEX].into_iter().chain(APPS).filter(|app| ![chat::PATH, editor::PATH].contains(&app.path)) {
            clients.on_route(app.path, Clients::isolate_topics);
        }
    }

    /// A connection whose handler keeps something goes to the loop of that handler. What the
    /// console watches goes to the console.
    fn choose_loop(&mut self, clients: &mut Clients<()>, request: &Request<'_>) -> Option<usize> {
        if !request.is_upgrade() && self.assets.has(request.path()) {
            return None;
        }
        if console::is_watched(request) {
            return Some(STATEFUL);
        }
        self.router.choose_loop(clients, request)
    }

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        if let Some(refusal) = self.hosts.refuse(clients, id, request) {
            return refusal;
        }
        if chat::is_room(request.path()) {
            return match self.origins.accept(request) {
                true => self.router.on_request(clients, id, request),
                false => foreign(request),
            };
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return other_method(request.method());
        }
        if !request.is_upgrade() {
            let page = self.assets.answer(request);
            return page.unwrap_or_else(|| self.router.on_request(clients, id, request));
        }
        if !self.admits(request) {
            return foreign(request);
        }
        if console::is_watched(request) {
            clients.on_route(console::PATH, |clients| clients.trace(id));
        }
        match self.router.on_request(clients, id, request) {
            Answer::Upgrade(upgrade) if self.is_plain || console::wants_no_compression(request) => {
                Answer::Upgrade(upgrade.uncompressed())
            }
            answer => answer,
        }
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.router.on_open(clients, id);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.router.on_message(clients, id, message);
    }

    fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
        self.router.on_piece(clients, id, piece, position);
    }

    fn on_ping(&mut self, clients: &mut Clients<()>, id: ClientId, payload: &[u8]) {
        self.router.on_ping(clients, id, payload);
    }

    fn on_pong(&mut self, clients: &mut Clients<()>, id: ClientId, payload: &[u8]) {
        self.router.on_pong(clients, id, payload);
    }

    fn on_drain(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.router.on_drain(clients, id);
    }

    fn on_subscribe(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str) {
        self.router.on_subscribe(clients, id, topic);
    }

    fn on_unsubscribe(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str) {
        self.router.on_unsubscribe(clients, id, topic);
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, token: u64) {
        self.router.on_timer(clients, timer, token);
    }

    fn on_client_timer(&mut self, clients: &mut Clients<()>, id: ClientId, timer: TimerId, token: u64) {
        self.router.on_client_timer(clients, id, timer, token);
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        self.router.on_event(clients, event);
    }

    fn on_kept(&mut self, clients: &mut Clients<()>, topic: &str, kept: &Kept, to: Audience<'_>) {
        self.router.on_kept(clients, topic, kept, to);
    }

    fn on_gap(&mut self, clients: &mut Clients<()>, topic: &str, to: Audience<'_>, position: Option<StreamPosition>) {
        self.router.on_gap(clients, topic, to, position);
    }

    fn on_caught(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str, position: StreamPosition) {
        self.router.on_caught(clients, id, topic, position);
    }

    fn on_published(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<StreamPosition, PublishError>) {
        self.router.on_published(clients, token, outcome);
    }

    fn on_members(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<Vec<Member>, PublishError>) {
        self.router.on_members(clients, token, outcome);
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        self.router.on_trace(clients, id, trace);
    }

    fn on_turns(&mut self, clients: &mut Clients<()>, turns: &Turns) {
        self.router.on_turns(clients, turns);
    }

    /// What the handlers keep. All else comes from the options.
    #[cfg(unix)]
    fn save(&mut self, clients: &mut Clients<()>) -> Option<Vec<u8>> {
        self.router.save(clients)
    }

    #[cfg(unix)]
    fn save_client(&mut self, clients: &mut Clients<()>, id: ClientId) -> Option<Vec<u8>> {
        self.router.save_client(clients, id)
    }

    #[cfg(unix)]
    fn restore(&mut self, clients: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        self.router.restore(clients, saved)
    }

    #[cfg(unix)]
    fn restore_client(&mut self, clients: &mut Clients<()>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        self.router.restore_client(clients, id, saved)
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        self.router.on_close(clients, id, reason);
    }
}

/// Pages and sockets know no other methods than GET and HEAD. OPTIONS asks for them: health checks
/// of proxies do.
fn other_method(method: &Method) -> Answer {
    let (status, text) = match *method {
        Method::OPTIONS => (StatusCode::NO_CONTENT, ""),
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            "405 Method Not Allowed: only GET and HEAD are supported here; a redirect may have changed the method\n",
        ),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response.into()
}
