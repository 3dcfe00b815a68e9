//! No request makes the server send a row that row level security hides: not in a body, not in a header, not in an error.
//!
//! Alice's requests are generated; what she may not see says `hush`. No request can contain that word, so wherever it
//! turns up, a hidden row came through.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use dropwire::auth::jwt;
use dropwire::config::Secret;
use dropwire::dev;

use super::app::{RestApp, RestClient};
use super::cases::api_with;

const SQL: &str = include_str!("hidden_rows.sql");
/// What a hidden row is known by, whatever case a function writes it in.
const MARK: &str = "hush";
/// What Alice cannot see or change, by content.
const HIDDEN: &str = "select md5(string_agg(row::text, ',' order by row::text)) from (
    select to_json(n) from api.notes n where owner = 'bob' union all
    select to_json(f) from api.folders f where owner = 'bob' union all
    select to_json(l) from api.labels l where owner = 'bob') as hidden (row)";

/// A request of Alice's.
#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    path: String,
    prefer: String,
    accept: &'static str,
    body: Value,
}

/// A relation: its numbers, its texts, and what it embeds, each with the relation that comes of it.
struct Relation {
    name: &'static str,
    numbers: &'static [&'static str],
    texts: &'static [&'static str],
    embeds: &'static [(&'static str, usize)],
}

const RELATIONS: [Relation; 5] = [
    Relation {
        name: "notes",
        numbers: &["id", "folder_id", "folder_id"],
        texts: &[
            "title",
            "body",
            "owner",
            "shout",
            "meta->>k",
            "meta->list->>0",
            "tags->>0",
        ],
        embeds: &[("folders", 1), ("labels", 2), ("note_labels", 3), ("siblings", 0)],
    },
    Relation {
        name: "folders",
        numbers: &["id", "parent_id"],
        texts: &["name", "owner", "meta->>k", "tags->>0"],
        embeds: &[("notes", 0), ("parent_id", 1), ("folders", 1), ("note_list", 4)],
    },
    Relation {
        name: "labels",
        numbers: &["id"],
        texts: &["name", "owner"],
        embeds: &[("notes", 0), ("note_labels", 3)],
    },
    Relation {
        name: "note_labels",
        numbers: &["note_id", "label_id"],
        texts: &[],
        embeds: &[("notes", 0), ("labels", 2)],
    },
    Relation {
        name: "note_list",
        numbers: &["id", "folder_id"],
        texts: &["title", "folder"],
        embeds: &[("folders", 1), ("labels", 2)],
    },
];

/// Chooses by bytes; when they are used up it takes the first choice.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().unwrap_or_default()) % n
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Once in so many times.
    fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    fn column(&mut self, relation: &Relation) -> &'static str {
        if self.rarely(3) || relation.texts.is_empty() {
            self.pick(relation.numbers)
        } else {
            self.pick(relation.texts)
        }
    }

    /// A column, and what it is asked; `dot` is what stands between.
    fn condition(&mut self, relation: &Relation, dot: &str) -> String {
        let not = if self.rarely(4) { "not." } else { "" };
        let number = self.below(24);
        let (column, test) = if self.rarely(3) || relation.texts.is_empty() {
            let tests =
                ["eq", "neq", "gt", "lte", "isdistinct"].map(|operator| format!("{operator}.{number}"));
            let others = [
                format!("in.(1,{number})"),
                format!("eq(any).{{2,{number}}}"),
                "is.null".to_owned(),
            ];
            let all = [&tests[..], &others[..]].concat();
            (self.pick(relation.numbers), all[self.below(all.len())].clone())
        } else {
            let tests = [
                "like.*",
                "like.h*",
                "ilike.*USH*",
                "match.u",
                "imatch.^.U",
                "eq.bob",
                "neq.alice",
                "gt.a",
                "lt.z",
                "is.null",
                "fts(simple).label",
                "plfts(simple).open",
                "like(any).{h*,o*}",
                "in.(bob,alice)",
                "isdistinct.open",
            ];
            (self.pick(relation.texts), self.pick(&tests).to_owned())
        };
        format!("{column}{dot}{not}{test}")
    }

    /// A select list; notes each embed's path in the tree with its relation.
    fn select(&mut self, at: usize, path: &str, depth: usize, embeds: &mut Vec<(String, usize)>) -> String {
        let relation = &RELATIONS[at];
        let mut list = Vec::new();
        for _ in 0..self.below(3) {
            let column = self.column(relation);
            list.push(match self.below(6) {
                0 => "*".to_owned(),
                1 => format!("{column}::text"),
                2 => format!("{}.max()", self.pick(relation.numbers)),
                3 => "count()".to_owned(),
                _ => column.to_owned(),
            });
        }
        for n in 0..self.below(3).min(depth) {
            let (name, target) = self.pick(relation.embeds);
            let alias = format!("e{n}");
            let below = format!("{path}{alias}.");
            let inner = self.select(target, &below, depth - 1, embeds);
            let join = self.pick(&["", "", "!inner", "!left"]);
            list.push(match self.below(5) {
                0 => format!("...{name}{join}({inner})"),
                _ => format!("{alias}:{name}{join}({inner})"),
            });
            embeds.push((below, target));
        }
        list.join(",")
    }

    fn parameter(&mut self, (path, at): &(String, usize)) -> String {
        let relation = &RELATIONS[*at];
        match self.below(8) {
            0 => format!(
                "{path}order={}{}",
                self.column(relation),
                self.pick(&["", ".desc", ".nullsfirst"])
            ),
            1 => format!("{path}limit={}", 1 + self.below(5)),
            2 => format!("{path}offset={}", self.below(3)),
            3 => {
                let (a, b) = (self.condition(relation, "."), self.condition(relation, "."));
                format!("{path}{}=({a},{b})", self.pick(&["or", "and", "not.or"]))
            }
            4 if !path.is_empty() => format!(
                "{}={}",
                path.trim_end_matches('.'),
                self.pick(&["is.null", "not.is.null"])
            ),
            _ => format!("{path}{}", self.condition(relation, "=")),
        }
    }

    fn body(&mut self, relation: &Relation) -> Value {
        let (id, other) = (self.below(24), self.below(24));
        match (relation.name, self.below(4)) {
            ("note_labels", _) => json!({"note_id": id, "label_id": other % 7}),
            ("labels", _) => json!({"id": id, "name": "mine"}),
            ("folders", 0) => json!({"id": id, "name": "mine", "parent_id": other}),
            ("folders", _) => json!({"parent_id": other % 9}),
            (_, 0) => json!([{"id": id, "folder_id": other % 9}, {"id": other, "folder_id": id % 9}]),
            (_, 1) => json!({"owner": self.pick(&["alice", "bob"])}),
            _ => json!({"id": id, "folder_id": other % 9, "title": "mine"}),
        }
    }

    fn request(&mut self) -> Asked {
        let method = self.pick(&["GET", "GET", "GET", "GET", "HEAD", "POST", "PATCH", "DELETE"]);
        let at = self.below(RELATIONS.len());
        let (path, at) = match (method, self.rarely(4)) {
            ("GET" | "HEAD", true) => match self.below(3) {
                0 => ("/rpc/all_notes?".to_owned(), 0),
                1 => (format!("/rpc/note?wanted={}&", self.below(21)), 0),
                _ => (
                    format!("/rpc/titles?pattern={}&", self.pick(&["%25", "h%25", "_ush%25"])),
                    0,
                ),
            },
            ("POST", true) => ("/rpc/retitle?".to_owned(), 0),
            _ => (format!("/{}?", RELATIONS[at].name), at),
        };
        // A view of two tables is only read.
        let method = if RELATIONS[at].name == "note_list" {
            "GET"
        } else {
            method
        };
        let mut nodes = vec![(String::new(), at)];
        let list = self.select(at, "", 3, &mut nodes);
        let mut query = if list.is_empty() {
            Vec::new()
        } else {
            vec![format!("select={list}")]
        };
        for _ in 0..self.below(4) {
            let node = nodes[self.below(nodes.len())].clone();
            query.push(self.parameter(&node));
        }
        let prefer = [
            self.pick(&["count=none", "count=exact", "count=planned", "count=estimated"]),
            self.pick(&[
                "return=representation",
                "return=representation",
                "return=headers-only",
                "return=minimal",
            ]),
            self.pick(&[
                "resolution=none",
                "resolution=merge-duplicates",
                "resolution=ignore-duplicates",
            ]),
            self.pick(&["tx=rollback", "tx=rollback", "tx=commit"]),
        ];
        let accept = [
            "application/json",
            "application/json",
            "application/json",
            "text/csv",
            "application/vnd.pgrst.object+json",
            "application/vnd.pgrst.plan+json; options=analyze|verbose",
        ];
        let body = if path.starts_with("/rpc/") {
            json!({"wanted": self.below(21), "title": "mine"})
        } else {
            self.body(&RELATIONS[at])
        };
        Asked {
            method,
            path: format!("{path}{}", query.join("&")),
            prefer: prefer.join(", "),
            accept: self.pick(&accept),
            body,
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| Dice(bytes.into_iter()).request())
}

fn alice(app: &RestApp) -> RestClient<'_> {
    let claims = json!({"role": "authenticated", "sub": "alice"});
    app.bearer(&jwt::sign(&Secret::new(dev::JWT_SECRET), &claims).unwrap())
}

async fn app() -> RestApp {
    let variables = [
        ("PGRST_DB_PLAN_ENABLED", "true"),
        ("PGRST_DB_TX_END", "commit-allow-override"),
    ];
    api_with(SQL, &variables).await
}

async fn hidden(app: &RestApp) -> String {
    app.db.query_one(HIDDEN, &[]).await.unwrap().get(0)
}

/// That the mark would be found: with the rights to see it, each way in leads to it.
#[tokio::test]
async fn every_way_in_leads_to_the_rows_that_policies_leave() {
    let app = app().await;
    let paths = [
        "/notes",
        "/folders",
        "/labels",
        "/note_list",
        "/note_labels?select=notes(title)",
        "/rpc/all_notes",
        "/rpc/titles",
        "/notes?select=shout",
        "/notes?select=siblings(title)",
        "/notes?select=folder_id,title.min()",
        "/folders?select=notes(tags)",
        "/folders?select=...notes(meta)",
        "/notes?select=folders(meta->k)",
    ];
    for path in paths {
        let answer = alice(&app).get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let text = answer.text.to_lowercase();
        assert!(text.contains("open") && !text.contains(MARK), "{path}: {text}");
    }
    app.run("alter table api.notes disable row level security; alter table api.folders disable row level security;
             alter table api.labels disable row level security").await;
    for path in paths {
        let answer = alice(&app).get(path).await;
        assert!(
            answer.text.to_lowercase().contains(MARK),
            "{path}: {}",
            answer.text
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_receives_a_row_that_a_policy_hides() {
    let app = app().await;
    let before = hidden(&app).await;
    let alice = alice(&app);
    // `PROPTEST_CASES=10000` makes a longer run.
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let mut answered = [0_u32; 6];
    let counts = std::cell::RefCell::new(&mut answered);
    let result = runner.run(&asked(), |asked| {
        let client = alice
            .clone()
            .with("prefer", &asked.prefer)
            .with("accept", asked.accept);
        let method: Method = asked.method.parse().unwrap();
        let body = matches!(asked.method, "POST" | "PATCH").then_some(&asked.body);
        let answer = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(client.send(method, &asked.path, body))
        });
        counts.borrow_mut()[usize::from(answer.status.as_u16() / 100)] += 1;
        let seen = format!("{:?} {}", answer.headers, answer.text).to_lowercase();
        prop_assert!(!seen.contains(MARK), "{seen}");
        prop_assert!(answer.status != 500, "{}", answer.text);
        Ok(())
    });
    result.unwrap();
    assert_eq!(hidden(&app).await, before, "a hidden row was changed");
    // Requests that were all refused would show nothing.
    assert!(answered[2] > answered[4] / 2, "{answered:?}");
    app.stop().await;
}
