;; It drops a data segment and an element segment, and says whether they were there when it began.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"stain\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 174)) (i32.const 0))
  (table $t 2 funcref)
  (elem $e func $self)
  (data $d "{\"outcome\":\"pass\"}")
  (func $self)
  (func (export "tocsin_collect") (result i32)
    (memory.init $d (i32.const 1024) (i32.const 0) (i32.const 18)) ;; traps when it was dropped
    (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))
    (data.drop $d)
    (elem.drop $e)
    (call $write (i32.const 1024) (i32.const 18))
    (i32.const 0))
)
