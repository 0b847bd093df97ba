//! The apps of the site.
//!
//! A new app needs a line in [`APPS`], a handler beside this file, a page in `pages/`, and its
//! texts in `texts/`.

use super::Options;
use super::arena::Arena;
use super::assets::{File, Reach, file};
use super::chat::{self, Chat};
use super::class::{self, Class};
use super::console::Console;
use super::editor::{self, Editor};
use super::guide;
use super::index::Index;
use super::learn::{self, Learn};
use super::lessons;
use super::measure::{self, Measure};
use super::page::{Content, Page};
use super::slot::{self, Slot};
use super::slow::{self, Slow};
use super::texts::{Language, fill, text};
use super::ticker::Ticker;
use super::watch::Loop;
use lariat::Router;
use std::collections::BTreeSet;

/// A page, and the handler of its sockets at the same path.
pub(super) struct App {
    pub(super) path: &'static str,
    /// The first level of its texts. The text `title` is the name that people see, and `sentence`
    /// says on the index what the app is.
    pub(super) name: &'static str,
    /// The content of the page's `<main>`. The rest comes from `shell.html`.
    pub(super) page: &'static str,
    /// The files of this page. The first script is loaded as a module, and the styles after those
    /// of the site.
    pub(super) files: &'static [File],
    pub(super) reach: Reach,
    /// Adds the handler to the router, under its path.
    pub(super) route: fn(Router<()>, &'static str, &Options) -> Router<()>,
}

/// The loop of the handlers that keep something, such as rooms: all their clients are there. It is
/// one loop for all of them, because the console watches clients of each.
pub(super) const STATEFUL: usize = 0;

/// The page at `/`, which lists the apps.
pub(super) const INDEX: App = App {
    path: "/",
    name: "index",
    page: include_str!("pages/index.html"),
    files: &[file!("index.js"), file!("index.css")],
    reach: Reach::Here,
    route: |router, path, _| router.route(path, Index::new(APPS.iter().map(|app| app.path).chain(ENDPOINTS))),
};

/// The endpoints without a page, for other programs. The index counts their clients too.
pub(super) const ENDPOINTS: [&str; 2] = ["/echo", "/broadcast"];

/// The apps, in the order of the index.
pub(super) const APPS: &[App] = &[
    App {
        path: learn::PATH,
        name: "learn.list",
        page: include_str!("pages/learn.html"),
        files: &[file!("learn.js"), file!("progress.js"), file!("learner.js"), file!("learn.css")],
        reach: Reach::Here,
        route: |router, path, options| {
            let router = router.route(path, Learn::default()).also(learn::ECHO).on_loop(STATEFUL);
            let router = router.route(slot::PATH, Slot).route(slow::PATH, Slow::default()).on_loop(STATEFUL);
            let router = router.route(measure::PATH, Measure::default()).on_loop(STATEFUL);
            router.route(class::PATH, Class::new(options.classroom)).on_loop(STATEFUL)
        },
    },
    App {
        path: "/console",
        name: "console",
        page: include_str!("pages/console.html"),
        files: &[file!("console.js"), file!("pcapng.js"), file!("wire.js"), file!("console.css")],
        reach: Reach::Everywhere,
        route: |router, path, _| router.route(path, Console::default()).on_loop(STATEFUL),
    },
    App {
        path: chat::PATH,
        name: "chat",
        page: include_str!("pages/chat.html"),
        files: &[file!("chat.js"), file!("conversation.js"), file!("chat.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Chat::default()).also("/chat/*").on_loop(STATEFUL),
    },
    App {
        path: editor::PATH,
        name: "editor",
        page: include_str!("pages/editor.html"),
        files: &[file!("editor.js"), file!("replica.js"), file!("operation.js"), file!("editor.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Editor::default()).on_loop(STATEFUL),
    },
    App {
        path: "/arena",
        name: "arena",
        page: include_str!("pages/arena.html"),
        files: &[file!("arena.js"), file!("game.js"), file!("arena.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Arena::default()).on_loop(STATEFUL),
    },
    App {
        path: "/ticker",
        name: "ticker",
        page: include_str!("pages/ticker.html"),
        files: &[file!("ticker.js"), file!("chart.js"), file!("slow-reader.js"), file!("ticker.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Ticker::default()).also("/ticker/latest").on_loop(STATEFUL),
    },
    App {
        path: "/loop",
        name: "loop",
        page: include_str!("pages/loop.html"),
        files: &[
            file!("loop.js"),
            file!("cells.js"),
            file!("grid.js"),
            file!("recording.js"),
            file!("sequence.js"),
            file!("turn.js"),
            file!("loop.css"),
        ],
        reach: Reach::Here,
        route: |router, path, options| router.route(path, Loop::new(options.teach)),
    },
];

/// The files of all pages.
pub(super) const SHARED: [File; 5] =
    [file!("style.css"), file!("texts.js"), file!("page.js"), file!("socket.js"), file!("icon.svg")];

/// The files of the guide's pages.
const GUIDE: [File; 2] = [file!("guide.js"), file!("guide.css")];

/// Returns all pages: one for each app, the index first, and those of the guide.
///
/// An app with more pages adds them here.
pub(super) fn pages() -> Vec<Page> {
    [&INDEX].into_iter().chain(APPS).map(App::page).chain(guide::pages(&GUIDE)).chain(lessons::pages()).collect()
}

/// Returns what the navigation lists: the paths of the apps and of the guide, and the first levels
/// of their texts.
pub(super) fn listed() -> impl Iterator<Item = (&'static str, &'static str)> {
    APPS.iter().map(|app| (app.path, app.name)).chain([(guide::PATH, "guide")])
}

/// Returns the paths of all pages, the index first.
pub fn page_paths() -> impl Iterator<Item = String> {
    pages().into_iter().map(|page| page.path)
}

/// Returns the paths of the apps, which have a page and a handler. The first one is the index.
pub fn app_paths() -> impl Iterator<Item = &'static str> {
    [&INDEX].into_iter().chain(APPS).map(|app| app.path)
}

/// Returns the names of all files below `/assets`.
pub fn file_names() -> impl Iterator<Item = &'static str> {
    let files = pages().into_iter().flat_map(|page| page.files);
    let names: BTreeSet<&str> = SHARED.into_iter().chain(files).map(|file| file.name).collect();
    names.into_iter()
}

impl App {
    /// Returns the name that people see.
    pub(super) fn title(&self, language: Language) -> String {
        text(language, &format!("{}.title", self.name))
    }

    fn sentence(&self, language: Language) -> String {
        text(language, &format!("{}.sentence", self.name))
    }

    fn page(&'static self) -> Page {
        Page {
            path: self.path.to_owned(),
            app: self.path,
            files: self.files.to_vec(),
            // A class may begin at the list of lessons.
            texts: [self.name].into_iter().chain((self.path == learn::PATH).then_some("learn.learner")).collect(),
            reach: self.reach,
            content: Box::new(|language| {
                let cards: String = listed().map(|(path, name)| card(path, name, language)).collect();
                Content {
                    title: self.title(language),
                    description: self.sentence(language),
                    main: fill(language, self.page)
                        .replace("{{apps}}", &cards)
                        .replace("{{lessons}}", &lessons::items(language)),
                }
            }),
        }
    }
}

/// Returns an item of the index. The guide has no clients to count.
fn card(path: &str, name: &str, language: Language) -> String {
    let count = if path == guide::PATH {
        String::new()
    } else {
        format!("<span class=\"count\" data-count=\"{path}\"></span>")
    };
    format!(
        "<li><a class=\"card app\" href=\"{path}\"><span class=\"app-title\">{}</span>{count}\
         <span class=\"app-sentence\">{}</span></a></li>\n",
        text(language, &format!("{name}.title")),
        text(language, &format!("{name}.sentence"))
    )
}
