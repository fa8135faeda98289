//! Many small data segments -> few large ones.
//!
//! wasmtime looks at every data segment of a module each time it is instantiated, although memory itself is mapped from an image it made
//! of them when it compiled. A memory that was read off a running engine comes in thousands: one for each run of bytes that are not zero,
//! which took a fifth of the time of a script's call. Zeros between two of them are what a fresh memory holds anyway, so segments close to
//! each other are written as one. Nothing a guest can see changes; where that is not plain, nothing is done.

use wasm_encoder::{
    Component, ComponentSectionId, ConstExpr, DataSection, RawSection,
    reencode::{self, Reencode, ReencodeComponent},
};
use wasmparser::{DataKind, DataSectionReader, Operator, Parser, Payload, TypeRef};

/// Modules with no more segments are left as they are.
const SEGMENTS_FROM: u32 = 64;
/// Zeros that may come to stand between two segments that are joined: a page of the machine, the grain of the image.
const GAP_BYTES_MAX: u64 = 4096;

/// The component with the segments of its modules joined; `None` where there is nothing to join, or it cannot be read: what is wrong with
/// it is the compiler's to say.
pub(in crate::plugin) fn join(component: &[u8]) -> Option<Vec<u8>> {
    if !is_scattered(Parser::new(0), component) {
        return None;
    }
    let mut joined = Component::new();
    Joiner::default().parse_component(&mut joined, Parser::new(0), component).ok()?;
    Some(joined.finish())
}

/// Whether a module of it has many segments. Reads no code: there is much of it.
fn is_scattered(parser: Parser, bytes: &[u8]) -> bool {
    let has_many = |payload: &Payload<'_>| matches!(payload, Payload::DataSection(section) if section.count() > SEGMENTS_FROM);
    parser.parse_all(bytes).any(|payload| payload.as_ref().is_ok_and(has_many))
}

/// Bytes at an offset in the first memory.
type Segment = (u32, Vec<u8>);

/// Copies a component as it is, but for such segments.
#[derive(Default)]
struct Joiner {
    /// Those of the module that is being copied, where they are to be replaced.
    segments: Option<Vec<Segment>>,
}

impl Reencode for Joiner {
    type Error = std::convert::Infallible;

    fn data_count(&mut self, count: u32) -> Result<u32, reencode::Error> {
        Ok(self.segments.as_ref().and_then(|segments| u32::try_from(segments.len()).ok()).unwrap_or(count))
    }

    fn parse_data_section(&mut self, data: &mut DataSection, section: DataSectionReader<'_>) -> Result<(), reencode::Error> {
        let Some(segments) = self.segments.take() else { return reencode::utils::parse_data_section(self, data, section) };
        for (offset, bytes) in segments {
            data.active(0, &ConstExpr::i32_const(offset.cast_signed()), bytes);
        }
        Ok(())
    }
}

impl ReencodeComponent for Joiner {
    fn parse_component_submodule(&mut self, component: &mut Component, parser: Parser, module: &[u8]) -> Result<(), reencode::Error> {
        self.segments = joined_segments(parser.clone(), module);
        if self.segments.is_some() {
            return reencode::component_utils::parse_component_submodule(self, component, parser, module);
        }
        component.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: module });
        Ok(())
    }
}

/// What the segments of a module become; `None`: they stay.
fn joined_segments(parser: Parser, module: &[u8]) -> Option<Vec<Segment>> {
    if !is_scattered(parser.clone(), module) {
        return None;
    }
    let mut joined = Vec::new();
    for payload in parser.parse_all(module) {
        match payload.ok()? {
            // A memory from outside may hold something between them.
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if matches!(import.ok()?.ty, TypeRef::Memory(_)) {
                        return None;
                    }
                }
            }
            // Code that names a segment keeps its number.
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader().ok()? {
                    if matches!(operator.ok()?, Operator::MemoryInit { .. } | Operator::DataDrop { .. }) {
                        return None;
                    }
                }
            }
            Payload::DataSection(section) => joined = join_section(section)?,
            _ => {}
        }
    }
    (!joined.is_empty()).then_some(joined)
}

/// Only where the active ones are in the first memory, at plain offsets that grow: then none lies over another. Passive ones go: a recorder
/// leaves behind those its engine was started from.
fn join_section(section: DataSectionReader<'_>) -> Option<Vec<Segment>> {
    let mut joined: Vec<Segment> = Vec::new();
    for segment in section {
        let segment = segment.ok()?;
        let (memory_index, offset_expr) = match segment.kind {
            DataKind::Active { memory_index, offset_expr } => (memory_index, offset_expr),
            // Nobody can reach it: it would be by its number.
            DataKind::Passive => continue,
        };
        if memory_index != 0 {
            return None;
        }
        let mut operators = offset_expr.get_operators_reader();
        let Ok(Operator::I32Const { value }) = operators.read() else { return None };
        if !matches!(operators.read(), Ok(Operator::End)) {
            return None;
        }
        let offset = value.cast_unsigned();
        match joined.last_mut() {
            Some((begin, bytes)) => {
                let gap = u64::from(offset).checked_sub(u64::from(*begin) + bytes.len() as u64)?;
                if gap > GAP_BYTES_MAX {
                    joined.push((offset, segment.data.to_vec()));
                } else {
                    bytes.resize(bytes.len() + usize::try_from(gap).ok()?, 0);
                    bytes.extend_from_slice(segment.data);
                }
            }
            None => joined.push((offset, segment.data.to_vec())),
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        CodeSection, DataCountSection, EntityType, Function, FunctionSection, ImportSection, MemorySection, MemoryType, Module, TypeSection,
    };

    use super::*;

    const PAGE: MemoryType = MemoryType { minimum: 16, maximum: None, memory64: false, shared: false, page_size_log2: None };

    /// Instead of an offset.
    const PASSIVE: i32 = -1;

    /// A module whose data are these, and a function that does `body`.
    fn module(is_memory_imported: bool, segments: &[(i32, &[u8])], body: impl FnOnce(&mut Function)) -> Vec<u8> {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        module.section(&types);
        if is_memory_imported {
            module.section(ImportSection::new().import("host", "memory", EntityType::Memory(PAGE)));
        }
        module.section(FunctionSection::new().function(0));
        if !is_memory_imported {
            module.section(MemorySection::new().memory(PAGE));
        }
        module.section(&DataCountSection { count: u32::try_from(segments.len()).expect("few") });
        let mut function = Function::new([]);
        body(&mut function);
        function.instructions().end();
        module.section(CodeSection::new().function(&function));
        let mut data = DataSection::new();
        for (offset, bytes) in segments {
            match *offset {
                PASSIVE => data.passive(bytes.iter().copied()),
                offset => data.active(0, &ConstExpr::i32_const(offset), bytes.iter().copied()),
            };
        }
        module.section(&data);
        module.finish()
    }

    fn component(module: &[u8]) -> Vec<u8> {
        let mut component = Component::new();
        component.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: module });
        component.finish()
    }

    /// What stands where in memory, byte by byte, and in how many segments it comes.
    fn memory(component: &[u8]) -> (Vec<u8>, u32) {
        let (mut memory, mut count) = (vec![0; 16 << 16], 0);
        wasmparser::validate(component).expect("valid");
        for payload in Parser::new(0).parse_all(component) {
            let Payload::DataSection(section) = payload.expect("readable") else { continue };
            count = section.count();
            for segment in section {
                let segment = segment.expect("readable");
                let DataKind::Active { offset_expr, .. } = segment.kind else { continue };
                let Ok(Operator::I32Const { value }) = offset_expr.get_operators_reader().read() else { panic!("no number") };
                let begin = usize::try_from(value).expect("small");
                memory[begin..begin + segment.data.len()].copy_from_slice(segment.data);
            }
        }
        (memory, count)
    }

    fn nothing(_: &mut Function) {}

    #[test]
    fn scattered_data_is_joined_and_memory_is_the_same() {
        let near: Vec<(i32, &[u8])> = (0..500).map(|n| (1000 + 20 * n, &b"some"[..])).collect();
        let far: Vec<(i32, &[u8])> = (0..5).map(|n| (100_000 + 10_000 * n, &b"more"[..])).collect();
        let left_behind: Vec<(i32, &[u8])> = vec![(PASSIVE, b"old"); 7];
        let scattered = component(&module(false, &[left_behind, near, far].concat(), nothing));
        let joined = join(&scattered).expect("joined");
        let ((before, _), (after, segments)) = (memory(&scattered), memory(&joined));
        assert!(before == after, "memory differs");
        assert_eq!(segments, 6);
    }

    #[test]
    fn what_could_be_told_apart_is_left_alone() {
        let segments: Vec<(i32, &[u8])> = (0..500).map(|n| (20 * n, &b"some"[..])).collect();
        let over_one_another: Vec<(i32, &[u8])> = (0..500).map(|n| (2 * n, &b"some"[..])).collect();
        let named = |function: &mut Function| {
            function.instructions().i32_const(0).i32_const(0).i32_const(0).memory_init(0, 7);
        };
        for left in [
            module(true, &segments, nothing),
            module(false, &over_one_another, nothing),
            module(false, &segments, named),
            module(false, &segments[..64], nothing),
        ] {
            let left = component(&left);
            assert!(join(&left).is_none_or(|copied| copied == left), "something was joined");
        }
        assert_eq!(join(b"no wasm"), None);
    }
}
