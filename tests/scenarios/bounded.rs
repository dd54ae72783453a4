//! What a bundle's size costs: time and disk, not memory.

use std::fs;
use std::io::Write as _;

use super::{World, id};

/// Size of the bundle, in MiB.
const BUNDLE_MIB: usize = 192;
/// Most memory the server may ever have had resident, in MiB: less than the bundle.
const RESIDENT_MIB_MAX: usize = 128;

#[test]
fn promise_12_memory_does_not_grow_with_the_bundle() {
    let (world, agreement) = World::with_agreement();
    let path = world.path("large.bin");
    let mut file = fs::File::create(&path).unwrap();
    let mut block = vec![0u8; 1 << 20];
    for number in 0..BUNDLE_MIB {
        block.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i ^ number) as u8);
        file.write_all(&block).unwrap();
    }
    let large = path.display().to_string();
    let deposit = world.escrow("hanbit-parts", &["deposit", &agreement, &large, "--yes"]);
    let request = world.request(&id(&deposit.record()), "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    let original = fs::read(&path).unwrap();
    assert!(fs::read(world.path("out/large.bin")).unwrap() == original, "other bytes came out");
    let resident = world.resident_mib_max();
    assert!(resident < RESIDENT_MIB_MAX, "the server had {resident} MiB resident");
}
