//! The layers, kept by reading imports: who may use what of ours.

use std::fs;
use std::path::Path;

/// A module and what it may import besides itself.
const LAYERS: [(&str, &[&str]); 10] = [
    ("domain", &[]),
    ("crypto", &["domain"]),
    ("ledger", &["domain"]),
    ("store", &["domain", "ledger"]),
    ("vault", &["domain", "crypto", "ledger", "store"]),
    ("wire", &["domain", "ledger"]),
    ("server", &["domain", "crypto", "ledger", "store", "vault", "wire"]),
    ("client", &["domain", "crypto", "ledger", "wire"]),
    ("cli", &["domain", "crypto", "client", "daemon"]),
    (
        "daemon",
        &["domain", "crypto", "ledger", "store", "vault", "wire", "server", "client", "cli"],
    ),
];

/// Crates that the pure domain may use.
const DOMAIN_CRATES: [&str; 4] = ["std", "serde", "thiserror", "crate"];

#[test]
fn every_module_has_its_layer_and_keeps_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for item in fs::read_dir(&src).unwrap() {
        let path = item.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if !path.is_dir() || name == "bin" {
            continue;
        }
        let layer = LAYERS.iter().find(|(module, _)| *module == name);
        let (module, allowed) = layer.unwrap_or_else(|| panic!("{name} has no layer"));
        for file in rust_files(&path) {
            // Tests may reach across.
            let text = fs::read_to_string(&file).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            if file.to_string_lossy().contains("tests") {
                continue;
            }
            for used in uses(text, "crate::") {
                if used != *module && !allowed.contains(&used.as_str()) {
                    faults.push(format!("{} uses {used}", file.display()));
                }
            }
            if *module == "domain" {
                for line in text.lines().filter_map(|line| line.trim().strip_prefix("use ")) {
                    let root = line.split([':', ';', ' ']).next().unwrap();
                    if !DOMAIN_CRATES.contains(&root) {
                        faults.push(format!("{} uses {root}", file.display()));
                    }
                }
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

fn rust_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules of ours that follow this root anywhere in the code.
fn uses(text: &str, root: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| {
        line.match_indices(root)
            .map(|(at, _)| {
                let rest = &line[at + root.len()..];
                rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>()
            })
            .collect::<Vec<_>>()
    })
    .filter(|module| !module.is_empty())
    .collect()
}
