//! What is needed of QuickJS: values that are released by themselves, and an error for what was thrown. One runtime, one context, one thread.
#![expect(unsafe_code, reason = "QuickJS is C")]

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use rquickjs_sys as qjs;

static CONTEXT: AtomicPtr<qjs::JSContext> = AtomicPtr::new(ptr::null_mut());

fn context() -> *mut qjs::JSContext {
    CONTEXT.load(Ordering::Relaxed)
}

/// A value of ours; released when it is dropped.
pub struct Value(qjs::JSValue);

/// What was thrown, taken out of the context.
pub struct Thrown(pub Value);

/// What a function of ours was called with.
pub struct Arguments<'a>(&'a [qjs::JSValue]);

/// A function of the host's, for JavaScript: its name and what it does.
pub type Function = (&'static CStr, fn(&Arguments<'_>) -> Result<Value, Thrown>);

/// Makes the runtime, which throws a `RangeError` once it has used this much stack.
pub fn start(stack_bytes: usize) {
    // SAFETY: called once, before anything else.
    unsafe {
        let runtime = qjs::JS_NewRuntime();
        qjs::JS_SetMaxStackSize(runtime, stack_bytes as _);
        CONTEXT.store(qjs::JS_NewContext(runtime), Ordering::Relaxed);
    }
    assert!(!context().is_null(), "QuickJS does not start");
}

/// Gives back what nothing refers to.
pub fn collect() {
    // SAFETY: the context is there since `start`.
    unsafe { qjs::JS_RunGC(qjs::JS_GetRuntime(context())) }
}

/// The value of a source of our own.
pub fn evaluate(source: &str, file: &CStr) -> Result<Value, Thrown> {
    let text = std::ffi::CString::new(source).unwrap_or_default();
    // SAFETY: the text ends with a NUL behind its length, as QuickJS wants it.
    Value::of(unsafe { qjs::JS_Eval(context(), text.as_ptr(), source.len() as _, file.as_ptr(), qjs::JS_EVAL_TYPE_GLOBAL as c_int) })
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: it is ours and is not used any more.
        unsafe { qjs::JS_FreeValue(context(), self.0) }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        // SAFETY: it is a value of this context.
        Self(unsafe { qjs::JS_DupValue(context(), self.0) })
    }
}

impl Value {
    /// `null`.
    pub const NULL: Self = Self(qjs::JS_NULL);
    /// `undefined`.
    pub const UNDEFINED: Self = Self(qjs::JS_UNDEFINED);

    /// What QuickJS returned, or what it threw.
    fn of(returned: qjs::JSValue) -> Result<Self, Thrown> {
        // SAFETY: the exception is taken once.
        unsafe { if qjs::JS_IsException(returned) { Err(Thrown(Self(qjs::JS_GetException(context())))) } else { Ok(Self(returned)) } }
    }

    fn done(code: c_int) -> Result<(), Thrown> {
        // SAFETY: as above.
        if code < 0 { Err(Thrown(Self(unsafe { qjs::JS_GetException(context()) }))) } else { Ok(()) }
    }

    fn released(self) -> qjs::JSValue {
        let value = self.0;
        std::mem::forget(self);
        value
    }

    /// `true` or `false`.
    pub fn boolean(value: bool) -> Self {
        Self(if value { qjs::JS_TRUE } else { qjs::JS_FALSE })
    }

    /// A number.
    pub fn number(value: f64) -> Self {
        let whole = value as i32;
        // Whole numbers are cheaper for what reads them.
        if f64::from(whole) == value && !(value == 0.0 && value.is_sign_negative()) {
            Self(qjs::JS_MKVAL(qjs::JS_TAG_INT, whole))
        } else {
            Self(qjs::JS_NewFloat64(value))
        }
    }

    /// A text.
    pub fn text(text: &str) -> Result<Self, Thrown> {
        // SAFETY: it copies so many bytes.
        Self::of(unsafe { qjs::JS_NewStringLen(context(), text.as_ptr().cast::<c_char>(), text.len() as _) })
    }

    /// A `Uint8Array`.
    pub fn bytes(bytes: &[u8]) -> Result<Self, Thrown> {
        // SAFETY: it copies so many bytes.
        Self::of(unsafe { qjs::JS_NewUint8ArrayCopy(context(), bytes.as_ptr(), bytes.len() as _) })
    }

    /// An object without properties.
    pub fn object() -> Result<Self, Thrown> {
        // SAFETY: the context is there since `start`.
        Self::of(unsafe { qjs::JS_NewObject(context()) })
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Result<Self, Thrown>>) -> Result<Self, Thrown> {
        // SAFETY: the context is there since `start`.
        let list = Self::of(unsafe { qjs::JS_NewArray(context()) })?;
        for (index, item) in items.into_iter().enumerate() {
            // SAFETY: it takes the item over.
            Self::done(unsafe { qjs::JS_SetPropertyUint32(context(), list.0, index as u32, item?.released()) })?;
        }
        Ok(list)
    }

    /// A function of the host's; `index` is its place among `functions`.
    pub fn function(functions: &'static [Function], index: usize) -> Result<Self, Thrown> {
        FUNCTIONS.store(functions.as_ptr().cast_mut(), Ordering::Relaxed);
        FUNCTIONS_COUNT.store(functions.len(), Ordering::Relaxed);
        let (name, _) = functions[index];
        let entry = qjs::JSCFunctionType { generic_magic: Some(enter) };
        // SAFETY: the union says which of its members it is.
        Self::of(unsafe {
            qjs::JS_NewCFunction2(context(), entry.generic, name.as_ptr(), 0, qjs::JSCFunctionEnum_JS_CFUNC_generic_magic, index as c_int)
        })
    }

    /// Gives an object a property.
    pub fn set(&self, name: &CStr, value: Self) -> Result<(), Thrown> {
        // SAFETY: it takes the value over.
        Self::done(unsafe {
            qjs::JS_DefinePropertyValueStr(context(), self.0, name.as_ptr(), value.released(), qjs::JS_PROP_C_W_E as c_int)
        })
    }

    /// A property; `undefined` if there is none.
    pub fn get(&self, name: &CStr) -> Result<Self, Thrown> {
        // SAFETY: both live while it is looked up.
        Self::of(unsafe { qjs::JS_GetPropertyStr(context(), self.0, name.as_ptr()) })
    }

    /// The items of a list.
    pub fn items(&self) -> Result<Vec<Self>, Thrown> {
        let mut length = 0_i64;
        // SAFETY: `length` outlives the call.
        Self::done(unsafe { qjs::JS_GetLength(context(), self.0, &raw mut length) })?;
        let length = u32::try_from(length).unwrap_or(0);
        // SAFETY: it is a value of this context.
        (0..length).map(|index| Self::of(unsafe { qjs::JS_GetPropertyUint32(context(), self.0, index) })).collect()
    }

    /// Calls it as a function.
    pub fn call(&self, arguments: &[Self]) -> Result<Self, Thrown> {
        let mut arguments: Vec<qjs::JSValue> = arguments.iter().map(|argument| argument.0).collect();
        // SAFETY: the arguments stay ours and live as long as the call.
        Self::of(unsafe { qjs::JS_Call(context(), self.0, qjs::JS_UNDEFINED, arguments.len() as c_int, arguments.as_mut_ptr()) })
    }

    /// Whether it is `null` or `undefined`.
    pub fn is_nothing(&self) -> bool {
        // SAFETY: it looks at the value alone.
        unsafe { qjs::JS_IsNull(self.0) || qjs::JS_IsUndefined(self.0) }
    }

    /// As a text. A surrogate without its other half becomes U+FFFD.
    pub fn to_text(&self) -> Result<String, Thrown> {
        let mut length = 0;
        // SAFETY: `length` outlives the call; what is returned has so many bytes until it is freed.
        unsafe {
            let start = qjs::JS_ToCStringLen2(context(), &raw mut length, self.0, false);
            if start.is_null() {
                return Err(Thrown(Self(qjs::JS_GetException(context()))));
            }
            let bytes = std::slice::from_raw_parts(start.cast::<u8>(), length as usize);
            let text = String::from_utf8_lossy(bytes).into_owned();
            qjs::JS_FreeCString(context(), start);
            Ok(text)
        }
    }

    /// As bytes: a `Uint8Array`, or a list of numbers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Thrown> {
        // SAFETY: what is returned has so many bytes until JavaScript runs again.
        unsafe {
            if qjs::JS_IsArray(self.0) {
                return self.items()?.iter().map(|item| Ok(item.to_number()? as u8)).collect();
            }
            let mut length = 0;
            let start = qjs::JS_GetUint8Array(context(), &raw mut length, self.0);
            match (start.is_null(), length) {
                (false, length) => Ok(std::slice::from_raw_parts(start, length as usize).to_vec()),
                (true, _) if qjs::JS_HasException(context()) => Err(Thrown(Self(qjs::JS_GetException(context())))),
                (true, _) => Ok(Vec::new()),
            }
        }
    }

    /// As a number.
    pub fn to_number(&self) -> Result<f64, Thrown> {
        let mut number = 0.0;
        // SAFETY: `number` outlives the call.
        Self::done(unsafe { qjs::JS_ToFloat64(context(), &raw mut number, self.0) })?;
        Ok(number)
    }
}

impl Thrown {
    /// An error that is a text, as `engine.js` expects of a refusal of the host's.
    pub fn text(text: &str) -> Self {
        match Value::text(text) {
            Ok(text) => Self(text),
            Err(thrown) => thrown,
        }
    }

    /// In words.
    pub fn describe(&self) -> String {
        self.0.to_text().unwrap_or_else(|_| "the script threw something that cannot be shown".to_owned())
    }
}

impl Arguments<'_> {
    /// The one at this place; `undefined` if there are fewer.
    pub fn at(&self, index: usize) -> Value {
        // SAFETY: they live as long as the call, and we count ourselves in.
        self.0.get(index).map_or(Value::UNDEFINED, |value| Value(unsafe { qjs::JS_DupValue(context(), *value) }))
    }

    /// That one as a text.
    pub fn text(&self, index: usize) -> Result<String, Thrown> {
        self.at(index).to_text()
    }
}

static FUNCTIONS: AtomicPtr<Function> = AtomicPtr::new(ptr::null_mut());
static FUNCTIONS_COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Where JavaScript enters; `magic` says which function it wants.
unsafe extern "C" fn enter(
    _: *mut qjs::JSContext,
    _: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
    magic: c_int,
) -> qjs::JSValue {
    // SAFETY: the list lives for ever, and `magic` was given by `function`; QuickJS passes so many arguments.
    let (functions, arguments) = unsafe {
        let functions = std::slice::from_raw_parts(FUNCTIONS.load(Ordering::Relaxed), FUNCTIONS_COUNT.load(Ordering::Relaxed));
        let arguments = if count == 0 { &[][..] } else { std::slice::from_raw_parts(arguments, count as usize) };
        (functions, arguments)
    };
    let (_, function) = functions[magic as usize];
    match function(&Arguments(arguments)) {
        Ok(value) => value.released(),
        // SAFETY: it takes the value over.
        Err(Thrown(value)) => unsafe { qjs::JS_Throw(context(), value.released()) },
    }
}
