//! `supabase-compat.md` names the test that proves each line; a name that leads nowhere fails here.

use std::path::{Path, PathBuf};

/// Where a test of this path may be: the module's own file, or its last part inside an inline `tests` module.
fn candidates(modules: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = |base: &str, modules: &[&str]| root.join(base).join(modules.join("/")).with_extension("rs");
    let outer = &modules[..modules.len().saturating_sub(1)];
    vec![
        file("tests/it", modules),
        file("src", modules),
        file("src", outer),
    ]
}

#[test]
fn every_test_that_the_table_names_exists() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("supabase-compat.md");
    let document = std::fs::read_to_string(document).unwrap();
    let named: Vec<_> = document
        .split('`')
        .map(|name| name.trim_start_matches("unit "))
        .filter(|name| {
            name.contains("::")
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b"_:0123456789".contains(&b))
        })
        .collect();
    assert!(named.len() > 50, "the table names its tests: {named:?}");
    for name in named {
        let (modules, test) = name.rsplit_once("::").unwrap();
        let modules: Vec<_> = modules.split("::").collect();
        let sources = candidates(&modules)
            .into_iter()
            .filter_map(|file| std::fs::read_to_string(file).ok());
        let declared = [
            format!("fn {test}("),
            format!("mod {test} {{"),
            format!("mod {test};"),
        ];
        let found = sources
            .into_iter()
            .any(|source| declared.iter().any(|text| source.contains(text)));
        assert!(found, "{name} does not exist");
    }
}
