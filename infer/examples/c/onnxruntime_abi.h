/* What this example needs of ONNX Runtime's C interface, declared by itself.
 *
 * The packages of PyPI and npm hold the library without its header. Its functions are entries of
 * one table whose order never changes: newer versions only add to its end
 * (https://onnxruntime.ai/docs/api/c/, OrtApi). A program that has onnxruntime_c_api.h includes that
 * instead and calls `api->CreateEnv(…)`.
 */
#ifndef ONNXRUNTIME_ABI_H
#define ONNXRUNTIME_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtEnv OrtEnv;
typedef struct OrtStatus OrtStatus; /* NULL where all went well */
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;

typedef void (*OrtFunction)(void);
typedef struct {
    const OrtFunction *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

const OrtApiBase *OrtGetApiBase(void);

enum { ORT_API_VERSION = 11, ORT_LOG_ERRORS = 3, ORT_UINT8 = 2, ORT_DEVICE_ALLOCATOR = 0 };

/* Places in the table, and what lies there. */
enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_INTRA_OP_NUM_THREADS = 24,
    CREATE_TENSOR_WITH_DATA = 49,
    GET_TENSOR_MUTABLE_DATA = 51,
    CREATE_CPU_MEMORY_INFO = 69,
    RELEASE_ENV = 92,
    RELEASE_MEMORY_INFO = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_SESSION_OPTIONS = 100
};
typedef const char *(*GetErrorMessage)(const OrtStatus *);
typedef OrtStatus *(*CreateEnv)(int level, const char *name, OrtEnv **);
typedef OrtStatus *(*CreateSession)(const OrtEnv *, const char *model, const OrtSessionOptions *,
                                    OrtSession **);
typedef OrtStatus *(*Run)(OrtSession *, const void *run_options, const char *const *input_names,
                          const OrtValue *const *inputs, size_t input_count,
                          const char *const *output_names, size_t output_count,
                          OrtValue **outputs);
typedef OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **);
typedef OrtStatus *(*SetIntraOpNumThreads)(OrtSessionOptions *, int threads);
typedef OrtStatus *(*CreateTensorWithData)(const OrtMemoryInfo *, void *data, size_t bytes,
                                           const int64_t *shape, size_t dimensions, int type,
                                           OrtValue **);
typedef OrtStatus *(*GetTensorMutableData)(OrtValue *, void **);
typedef OrtStatus *(*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo **);
typedef void (*Release)(void *);

#endif
