//! Reading the memory and the globals of an instance off, as a component of its own.

use wasmtime::{
    Store,
    component::{Instance, Lift, WasmList},
};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::{guest::Guest, limits::as_size};

/// The component an instance of the recorder has become.
pub(in crate::plugin) async fn read_off(
    store: &mut Store<Guest>,
    instance: &Instance,
    context: &ComponentContext<'static>,
) -> wasmtime::Result<Vec<u8>> {
    // A copy of the whole memory is handed over, as a list of bytes.
    let bytes = as_size(store.data().limits().memory_bytes);
    store.set_hostcall_fuel(bytes.saturating_mul(2));
    let mut accessors = Accessors { store, instance: *instance, failed: None };
    let component = Wizer::new().snapshot_component(context, &mut accessors).await?;
    match accessors.failed {
        None => Ok(component),
        Some(error) => Err(error),
    }
}

/// Asks an instance for its memory and globals. `wasmtime-wizer` has no room for a failure, so it gets nothing then and what it makes of
/// that is thrown away.
struct Accessors<'a> {
    store: &'a mut Store<Guest>,
    instance: Instance,
    failed: Option<wasmtime::Error>,
}

impl Accessors<'_> {
    async fn ask<T: Lift + Send + Sync + 'static>(&mut self, interface: &str, function: &str) -> wasmtime::Result<T> {
        let missing = || wasmtime::Error::msg(format!("the recorder has no `{interface}#{function}`"));
        let (_, interface_index) = self.instance.get_export(&mut *self.store, None, interface).ok_or_else(missing)?;
        let (_, index) = self.instance.get_export(&mut *self.store, Some(&interface_index), function).ok_or_else(missing)?;
        let function = self.instance.get_typed_func::<(), (T,)>(&mut *self.store, index)?;
        Ok(function.call_async(&mut *self.store, ()).await?.0)
    }

    async fn number<T: Lift + Send + Sync + Default + 'static>(&mut self, interface: &str, function: &str) -> T {
        match self.ask(interface, function).await {
            Ok(number) => number,
            Err(error) => {
                self.failed = Some(error);
                T::default()
            }
        }
    }
}

impl ComponentInstanceState for Accessors<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.ask::<WasmList<u8>>(instance, func).await {
            Ok(list) => contents(list.as_le_slice(&*self.store)),
            Err(error) => {
                self.failed = Some(error);
                contents(&[]);
            }
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.number(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.number(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.number::<f32>(instance, func).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.number::<f64>(instance, func).await.to_bits()
    }
}
