//! Embedding: every kind of relationship, hints, joins, spreads, null tests, nesting, results of writes and functions.

use serde_json::{Value, json};

use super::cases::{Wrong, api, reads, refuses};

const SQL: &str = include_str!("embedding.sql");

#[tokio::test]
async fn each_kind_of_relationship_has_its_shape() {
    let app = api(SQL).await;
    let cases = [
        // To-one: an object, or null.
        (
            "/books?select=title,publishers(name)&id=gte.12&order=id",
            r#"[{"title":"Cog","publishers":{"name":"Bee"}},{"title":"Dew","publishers":null}]"#,
        ),
        // To-many: an array, or an empty one.
        (
            "/publishers?select=name,books(title)&id=neq.2&order=id&books.order=title",
            r#"[{"name":"Ace","books":[{"title":"Air"},{"title":"Bog"}]},{"name":"Cee","books":[]}]"#,
        ),
        // One-to-one: an object from both sides.
        (
            "/authors?select=name,passports(number)&id=lte.2&order=id",
            r#"[{"name":"Ann","passports":{"number":"P1"}},{"name":"Bob","passports":null}]"#,
        ),
        (
            "/passports?select=number,authors(name)&number=eq.P3",
            r#"[{"number":"P3","authors":{"name":"Cat"}}]"#,
        ),
        // Many-to-many: through the junction, from both sides.
        (
            "/books?select=title,genres(name)&id=in.(10,13)&order=id&genres.order=name",
            r#"[{"title":"Air","genres":[{"name":"fact"},{"name":"lore"}]},{"title":"Dew","genres":[]}]"#,
        ),
        (
            "/genres?select=name,books(title)&name=eq.lore&books.order=title",
            r#"[{"name":"lore","books":[{"title":"Air"},{"title":"Cog"}]}]"#,
        ),
        // The junction is a relation like others.
        (
            "/book_genres?select=books(title),genres(name)&book_id=eq.12",
            r#"[{"books":{"title":"Cog"},"genres":{"name":"lore"}}]"#,
        ),
        // All columns, an alias, and an embed in an embed in an embed.
        (
            "/genres?select=id,list:books(t:title,publishers(*,books(id)))&id=eq.2&list.id=eq.12",
            r#"[{"id":2,"list":[{"t":"Cog","publishers":{"id":2,"name":"Bee","books":[{"id":12}]}}]}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn a_relation_embeds_itself() {
    let app = api(SQL).await;
    let cases = [
        (
            "/authors?select=name,mentor:mentor_id(name)&id=lte.2&order=id",
            r#"[{"name":"Ann","mentor":null},{"name":"Bob","mentor":{"name":"Ann"}}]"#,
        ),
        (
            "/authors?select=name,authors(name)&id=eq.1&authors.order=name",
            r#"[{"name":"Ann","authors":[{"name":"Bob"},{"name":"Cat"}]}]"#,
        ),
        (
            "/authors?select=name,below:authors!mentor_id(name,above:mentor_id(name))&id=eq.1&below.name=eq.Cat",
            r#"[{"name":"Ann","below":[{"name":"Cat","above":{"name":"Ann"}}]}]"#,
        ),
        // By a function that says what is meant.
        (
            "/authors?select=name,pupils(name,pupils(name))&id=eq.1&pupils.order=name.desc",
            r#"[{"name":"Ann","pupils":[{"name":"Cat","pupils":[]},{"name":"Bob","pupils":[]}]}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn views_lead_where_their_tables_do() {
    let app = api(SQL).await;
    let cases = [
        (
            "/long_books?select=title,publishers(name),reviews(stars)&order=id",
            r#"[{"title":"Bog","publishers":{"name":"Ace"},"reviews":[{"stars":1}]},
                {"title":"Cog","publishers":{"name":"Bee"},"reviews":[{"stars":4}]}]"#,
        ),
        (
            "/publishers?select=name,long_books(title)&order=id",
            r#"[{"name":"Ace","long_books":[{"title":"Bog"}]},{"name":"Bee","long_books":[{"title":"Cog"}]},
                {"name":"Cee","long_books":[]}]"#,
        ),
        (
            "/longest_books?select=book,publishers(name),genres(name)",
            r#"[{"book":11,"publishers":{"name":"Ace"},"genres":[{"name":"fact"}]}]"#,
        ),
        (
            "/prizes?select=name,books(title)&order=id",
            r#"[{"name":"Cup","books":{"title":"Air"}},{"name":"Medal","books":{"title":"Cog"}}]"#,
        ),
        (
            "/books?select=title,prizes(name)&id=eq.12",
            r#"[{"title":"Cog","prizes":[{"name":"Medal"}]}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn a_hint_says_which_relationship_is_meant() {
    let app = api(SQL).await;
    let edited = r#"[{"title":"Air","authors":{"name":"Bob"}}]"#;
    let written = r#"[{"title":"Air","authors":{"name":"Ann"}}]"#;
    let cases = [
        ("/books?select=title,authors!edited_by(name)&id=eq.10", edited),
        ("/books?select=title,authors!editor_id(name)&id=eq.10", edited),
        (
            "/books?select=title,authors!books_writer_id_fkey(name)&id=eq.10",
            written,
        ),
        ("/books?select=title,authors!writer_id(name)&id=eq.10", written),
        ("/books?select=title,authors:writer_id(name)&id=eq.10", written),
        ("/books?select=title,authors:edited_by(name)&id=eq.10", edited),
        (
            "/books?select=title,authors!favourites(name)&id=eq.10",
            r#"[{"title":"Air","authors":[{"name":"Bob"}]}]"#,
        ),
        (
            "/books?select=title,genres!book_genres(name)&id=eq.11",
            r#"[{"title":"Bog","genres":[{"name":"fact"}]}]"#,
        ),
        (
            "/authors?select=name,wrote:books!writer_id(title),edited:books!editor_id(title)&id=eq.3",
            r#"[{"name":"Cat","wrote":[{"title":"Dew"}],"edited":[{"title":"Cog"}]}]"#,
        ),
        (
            "/books?select=title,writer:authors!writer_id(name),editor:authors!editor_id(name)&id=eq.12",
            r#"[{"title":"Cog","writer":{"name":"Bob"},"editor":{"name":"Cat"}}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn several_relationships_are_300_with_all_of_them() {
    let app = api(SQL).await;
    let answer = app.anon().get("/books?select=title,authors(name)").await;
    let candidate = |cardinality: &str, relationship: &str| json!({"cardinality": cardinality, "relationship": relationship, "embedding": "books with authors"});
    let body = json!({
        "code": "PGRST201",
        "message": "Could not embed because more than one relationship was found for 'books' and 'authors'",
        "hint": "Try changing 'authors' to one of the following: 'authors!books_writer_id_fkey', \
                 'authors!edited_by', 'authors!favourites'. Find the desired relationship in the 'details' key.",
        "details": [
            candidate("many-to-one", "books_writer_id_fkey using books(writer_id) and authors(id)"),
            candidate("many-to-one", "edited_by using books(editor_id) and authors(id)"),
            candidate(
                "many-to-many",
                "favourites using favourites_book_id_fkey(book_id) and favourites_author_id_fkey(author_id)"
            ),
        ],
    });
    assert_eq!(answer.pair(), (300, body));
    assert_eq!(answer.headers["proxy-status"], "PostgREST; error=PGRST201");
    app.stop().await;
}

#[tokio::test]
async fn what_is_not_related_is_refused() {
    let app = api(SQL).await;
    let answer = app.anon().get("/publishers?select=name,book(title)").await;
    let body = json!({
        "code": "PGRST200",
        "message": "Could not find a relationship between 'publishers' and 'book' in the schema cache",
        "details": "Searched for a foreign key relationship between 'publishers' and 'book' in the schema 'api', \
                    but no matches were found.",
        "hint": "Perhaps you meant 'books' instead of 'book'.",
    });
    assert_eq!(answer.pair(), (400, body));
    let refused = [
        ("/publishers?select=name,genres(name)", 400, "PGRST200"),
        ("/books?select=title,authors!nothing(name)", 400, "PGRST200"),
        ("/publishers?select=name&books.title=eq.Air", 400, "PGRST108"),
        ("/publishers?select=name&books.order=title", 400, "PGRST108"),
        ("/publishers?select=name&books.limit=1", 400, "PGRST108"),
        (
            "/publishers?select=name&books.or=(id.eq.1,id.eq.2)",
            400,
            "PGRST108",
        ),
        // Only null tests are of an embed; all else is of a column.
        ("/publishers?select=name,books(title)&books=eq.1", 400, "42703"),
        (
            "/publishers?select=name,books(title)&order=books(title)",
            400,
            "PGRST118",
        ),
        ("/publishers?select=name,books(nothing)", 400, "42703"),
    ];
    refuses(&app.anon(), &refused).await;
    app.stop().await;
}

#[tokio::test]
async fn joins_decide_which_rows_stay() {
    let app = api(SQL).await;
    let cases = [
        (
            "/books?select=id,publishers!inner(name)&publishers.name=eq.Bee",
            r#"[{"id":12,"publishers":{"name":"Bee"}}]"#,
        ),
        (
            "/books?select=id,publishers(name)&publishers.name=eq.Bee&id=gt.11&order=id",
            r#"[{"id":12,"publishers":{"name":"Bee"}},{"id":13,"publishers":null}]"#,
        ),
        (
            "/books?select=id,publishers!left(name)&publishers.name=eq.Bee&id=gt.11&order=id",
            r#"[{"id":12,"publishers":{"name":"Bee"}},{"id":13,"publishers":null}]"#,
        ),
        (
            "/publishers?select=name,books!inner(id)&books.pages=gt.260",
            r#"[{"name":"Ace","books":[{"id":11}]}]"#,
        ),
        (
            "/publishers?select=id,books!inner(id,reviews!inner(stars))&books.reviews.stars=eq.4",
            r#"[{"id":2,"books":[{"id":12,"reviews":[{"stars":4}]}]}]"#,
        ),
        (
            "/genres?select=id,books!inner(id)&books.title=eq.Cog",
            r#"[{"id":2,"books":[{"id":12}]}]"#,
        ),
        (
            "/books?select=id,a:authors!editor_id!inner(name)&a.name=eq.Cat",
            r#"[{"id":12,"a":{"name":"Cat"}}]"#,
        ),
        // Null tests: whether there is anything.
        (
            "/publishers?select=name,books()&books=is.null",
            r#"[{"name":"Cee"}]"#,
        ),
        (
            "/publishers?select=id,books()&books=not.is.null&order=id",
            r#"[{"id":1},{"id":2}]"#,
        ),
        ("/books?select=id,p:publishers()&p=is.null", r#"[{"id":13}]"#),
        (
            "/publishers?select=id,books()&books.pages=gt.260&books=not.is.null",
            r#"[{"id":1}]"#,
        ),
        (
            "/books?select=id,publishers(),reviews()&reviews.stars=eq.1&or=(publishers.is.null,reviews.not.is.null)&order=id",
            r#"[{"id":11},{"id":13}]"#,
        ),
        // An embed without columns joins and is not shown.
        (
            "/books?select=id,publishers!inner()&publishers.name=eq.Bee",
            r#"[{"id":12}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    // What is counted is what stays.
    let counted = app.anon().with("prefer", "count=exact");
    let mut wrong = Wrong::default();
    for (query, range) in [
        (
            "/books?select=id,publishers!inner(name)&publishers.name=eq.Ace&limit=1",
            "0-0/2",
        ),
        ("/publishers?select=name,books!inner(id)&limit=1", "0-0/2"),
        ("/publishers?select=name,books()&books=is.null", "0-0/1"),
        ("/publishers?select=name,books(id)&books.limit=1", "0-2/3"),
    ] {
        let answer = counted.get(query).await;
        wrong.unless(query, &answer.headers["content-range"].to_str().unwrap(), &range);
    }
    wrong.none();
    app.stop().await;
}

#[tokio::test]
async fn a_spread_lifts_its_columns() {
    let app = api(SQL).await;
    let cases = [
        (
            "/books?select=title,...publishers(publisher:name)&id=gte.12&order=id",
            r#"[{"title":"Cog","publisher":"Bee"},{"title":"Dew","publisher":null}]"#,
        ),
        (
            "/reviews?select=stars,...books(title,...publishers(name))&id=eq.102",
            r#"[{"stars":1,"title":"Bog","name":"Ace"}]"#,
        ),
        (
            "/authors?select=name,...passports(number)&id=eq.1",
            r#"[{"name":"Ann","number":"P1"}]"#,
        ),
        // To-many: an array for each column.
        (
            "/publishers?select=name,...books(titles:title,pages)&books.order=id&order=id",
            r#"[{"name":"Ace","titles":["Air","Bog"],"pages":[100,300]},{"name":"Bee","titles":["Cog"],"pages":[250]},
                {"name":"Cee","titles":[],"pages":[]}]"#,
        ),
        (
            "/books?select=id,...genres(genres:name)&genres.order=name.desc&id=eq.10",
            r#"[{"id":10,"genres":["lore","fact"]}]"#,
        ),
        (
            "/publishers?select=id,...books(title,reviews(stars))&id=eq.2",
            r#"[{"id":2,"title":["Cog"],"reviews":[[{"stars":4}]]}]"#,
        ),
        (
            "/publishers?select=id,...books!inner(title)&books.pages=lt.200",
            r#"[{"id":1,"title":["Air"]}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn every_level_has_parameters_of_its_own() {
    let app = api(SQL).await;
    let cases = [
        (
            "/publishers?select=id,books(id,reviews(id))&id=eq.1&books.order=id.desc&books.reviews.order=stars&books.reviews.stars=gt.1",
            r#"[{"id":1,"books":[{"id":11,"reviews":[]},{"id":10,"reviews":[{"id":101},{"id":100}]}]}]"#,
        ),
        (
            "/publishers?select=id,books(id,reviews(id))&id=eq.1&books.id=eq.10&books.reviews.limit=1&books.reviews.offset=1&books.reviews.order=id",
            r#"[{"id":1,"books":[{"id":10,"reviews":[{"id":101}]}]}]"#,
        ),
        (
            "/publishers?select=id,books(id)&books.or=(pages.lt.200,title.eq.Cog)&books.order=id&order=id",
            r#"[{"id":1,"books":[{"id":10}]},{"id":2,"books":[{"id":12}]},{"id":3,"books":[]}]"#,
        ),
        (
            "/publishers?select=id,books(id,reviews(id))&id=eq.1&books.id=eq.10&books.reviews.not.or=(stars.eq.5,reader.is.null)",
            r#"[{"id":1,"books":[{"id":10,"reviews":[{"id":101}]}]}]"#,
        ),
        (
            "/publishers?select=id,books(id,reviews(id))&id=eq.1&books.reviews.and=(stars.gt.2,or(reader.eq.x,reader.is.null))&books.order=id",
            r#"[{"id":1,"books":[{"id":10,"reviews":[{"id":100}]},{"id":11,"reviews":[]}]}]"#,
        ),
        (
            "/publishers?select=id,list:books(id,said:reviews(id))&list.said.stars=eq.1&id=eq.1&list.order=id.desc&list.limit=1",
            r#"[{"id":1,"list":[{"id":11,"said":[{"id":102}]}]}]"#,
        ),
        // Rows in the order of what they embed.
        (
            "/books?select=id,publishers(name)&order=publishers(name).desc.nullslast,id&id=neq.11",
            r#"[{"id":12,"publishers":{"name":"Bee"}},{"id":10,"publishers":{"name":"Ace"}},{"id":13,"publishers":null}]"#,
        ),
        (
            "/publishers?select=id,books(id,authors!writer_id(name))&books.order=authors(name).desc&id=eq.2",
            r#"[{"id":2,"books":[{"id":12,"authors":{"name":"Bob"}}]}]"#,
        ),
        // Aggregates of an embed, and by what is lifted from one.
        (
            "/publishers?select=id,books(count(),pages.sum())&order=id",
            r#"[{"id":1,"books":[{"count":2,"sum":400}]},{"id":2,"books":[{"count":1,"sum":250}]},
                {"id":3,"books":[{"count":0,"sum":null}]}]"#,
        ),
        (
            "/books?select=pages.sum(),...publishers(name)&publisher_id=not.is.null&order=publishers(name)",
            r#"[{"sum":400,"name":"Ace"},{"sum":250,"name":"Bee"}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn a_relation_name_beside_its_alias_is_warned_of() {
    let app = api(SQL).await;
    let by_name = "/publishers?select=id,list:books(id)&books.id=eq.12&id=eq.2";
    let answer = app.anon().get(by_name).await;
    assert_eq!(answer.pair(), (200, json!([{"id": 2, "list": [{"id": 12}]}])));
    assert!(
        answer.headers["warning"].to_str().unwrap().starts_with("299 "),
        "{answer:?}"
    );
    let by_alias = app.anon().get(&by_name.replace("&books.id", "&list.id")).await;
    assert_eq!(by_alias.json(), answer.json());
    assert!(!by_alias.headers.contains_key("warning"));
    app.stop().await;
}

#[tokio::test]
async fn functions_make_relationships_and_rows_to_embed_in() {
    let app = api(SQL).await;
    let cases = [
        (
            "/publishers?select=name,longest(title,genres(name))&id=neq.2&order=id",
            r#"[{"name":"Ace","longest":{"title":"Bog","genres":[{"name":"fact"}]}},{"name":"Cee","longest":null}]"#,
        ),
        (
            "/publishers?select=id,l:longest!inner(id)&l.pages=gt.260",
            r#"[{"id":1,"l":{"id":11}}]"#,
        ),
        (
            "/rpc/books_over?pages=200&select=id,publishers(name)&publishers.name=eq.Ace",
            r#"[{"id":11,"publishers":{"name":"Ace"}},{"id":12,"publishers":null}]"#,
        ),
        (
            "/rpc/books_over?pages=0&select=id,reviews!inner(stars)&reviews.stars=gt.4",
            r#"[{"id":10,"reviews":[{"stars":5}]}]"#,
        ),
        (
            "/rpc/first_book?select=title,...publishers(name)",
            r#"{"title":"Air","name":"Ace"}"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn written_rows_are_embedded_in() {
    let app = api(SQL).await;
    let client = app.anon().with("prefer", "return=representation");
    let query = "select=title,publishers(name),...authors!writer_id(writer:name),reviews(id)";
    let row = |title: &str, publisher: Value| json!([{"title": title, "publishers": publisher, "writer": "Ann", "reviews": []}]);
    let book = json!({"id": 20, "title": "Elk", "publisher_id": 2, "writer_id": 1});
    let inserted = client.post(&format!("/books?{query}"), &book).await;
    assert_eq!(inserted.pair(), (201, row("Elk", json!({"name": "Bee"}))));
    let change = json!({"title": "Elm", "publisher_id": null});
    let updated = client.patch(&format!("/books?id=eq.20&{query}"), &change).await;
    assert_eq!(updated.pair(), (200, row("Elm", Value::Null)));
    let deleted = client.delete(&format!("/books?id=eq.20&{query}")).await;
    assert_eq!(deleted.pair(), (200, row("Elm", Value::Null)));
    assert_eq!(client.get("/books?id=eq.20").await.json(), json!([]));
    app.stop().await;
}
