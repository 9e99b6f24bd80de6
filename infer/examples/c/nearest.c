/* nearest ENCODER VECTORS.npy PIXELS.rgb...
 *
 * Embeds photos by ONNX Runtime's C interface and prints, for each, its vector and the ten nearest
 * rows of an array that `imgsim-edge embed FOLDER --out VECTORS.npy` has written. A .rgb file holds
 * 224 x 224 x 3 bytes, upright sRGB, row by row. One JSON object a line.
 *
 * cc -O2 nearest.c -o nearest -l:libonnxruntime.so.1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_abi.h"

enum { SIDE = 224, DIMENSION = 64, ANSWERS = 10, NPY_HEADER_MOST = 4096 };

typedef struct {
    size_t row;
    double score;
} Answer;

static const OrtFunction *api;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "error: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(OrtStatus *status)
{
    if (status)
        fail("ONNX Runtime", ((GetErrorMessage)api[GET_ERROR_MESSAGE])(status));
}

/* Read the rows of a .npy file: float32, C order, shape (n, DIMENSION).
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
static float *read_vectors(const char *name, size_t *count)
{
    unsigned char start[10];
    char header[NPY_HEADER_MOST + 1];
    size_t width;
    FILE *file = fopen(name, "rb");

    if (!file)
        fail(name, "cannot be opened");
    if (fread(start, 1, sizeof start, file) != sizeof start || memcmp(start, "\x93NUMPY\x01", 7))
        fail(name, "is no .npy file of version 1");
    size_t length = start[8] + 256u * start[9];
    if (length > NPY_HEADER_MOST || fread(header, 1, length, file) != length)
        fail(name, "is damaged");
    header[length] = '\0';
    const char *shape = strstr(header, "'shape': (");
    if (!strstr(header, "'<f4'") || strstr(header, "'fortran_order': True") || !shape ||
        sscanf(shape, "'shape': (%zu, %zu)", count, &width) != 2 || width != DIMENSION)
        fail(name, "does not hold rows of 64 float32");
    float *vectors = malloc(*count * DIMENSION * sizeof *vectors + 1);
    if (!vectors || fread(vectors, sizeof *vectors, *count * DIMENSION, file) != *count * DIMENSION)
        fail(name, "ends too early, or there is not enough memory");
    fclose(file);
    return vectors;
}

static void read_pixels(const char *name, uint8_t pixels[SIDE * SIDE * 3])
{
    FILE *file = fopen(name, "rb");

    if (!file)
        fail(name, "cannot be opened");
    if (fread(pixels, 1, SIDE * SIDE * 3, file) != SIDE * SIDE * 3 || fgetc(file) != EOF)
        fail(name, "does not hold 224 x 224 x 3 bytes");
    fclose(file);
}

static size_t nearest(const float *vectors, size_t count, const float *query, Answer *best)
{
    size_t found = 0;

    for (size_t row = 0; row < count; row++) {
        double score = 0.0;
        for (size_t n = 0; n < DIMENSION; n++)
            score += (double)vectors[row * DIMENSION + n] * query[n];
        size_t place = found < ANSWERS ? found++ : ANSWERS;
        for (; place > 0 && best[place - 1].score < score; place--)
            if (place < ANSWERS)
                best[place] = best[place - 1];
        if (place < ANSWERS)
            best[place] = (Answer){row, score};
    }
    return found;
}

int main(int count, char **arguments)
{
    if (count < 4)
        fail("usage", "nearest ENCODER VECTORS.npy PIXELS.rgb...");
    const OrtApiBase *base = OrtGetApiBase();
    api = base->GetApi(ORT_API_VERSION);
    if (!api)
        fail("ONNX Runtime is too old", base->GetVersionString());

    size_t rows;
    float *vectors = read_vectors(arguments[2], &rows);
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtMemoryInfo *memory;
    check(((CreateEnv)api[CREATE_ENV])(ORT_LOG_ERRORS, "nearest", &env));
    check(((CreateSessionOptions)api[CREATE_SESSION_OPTIONS])(&options));
    check(((SetIntraOpNumThreads)api[SET_INTRA_OP_NUM_THREADS])(options, 1));
    check(((CreateSession)api[CREATE_SESSION])(env, arguments[1], options, &session));
    check(((CreateCpuMemoryInfo)api[CREATE_CPU_MEMORY_INFO])(ORT_DEVICE_ALLOCATOR, 0, &memory));

    static uint8_t pixels[SIDE * SIDE * 3];
    const int64_t shape[] = {1, SIDE, SIDE, 3};
    const char *const inputs[] = {"images"}, *const outputs[] = {"embeddings"};
    for (int n = 3; n < count; n++) {
        OrtValue *images, *embeddings = NULL;
        float *query;
        Answer best[ANSWERS];
        read_pixels(arguments[n], pixels);
        check(((CreateTensorWithData)api[CREATE_TENSOR_WITH_DATA])(
            memory, pixels, sizeof pixels, shape, 4, ORT_UINT8, &images));
        check(((Run)api[RUN])(session, NULL, inputs, (const OrtValue *const *)&images, 1, outputs, 1,
                              &embeddings));
        check(((GetTensorMutableData)api[GET_TENSOR_MUTABLE_DATA])(embeddings, (void **)&query));
        size_t found = nearest(vectors, rows, query, best);
        printf("{\"embedding\": [");
        for (size_t i = 0; i < DIMENSION; i++)
            printf("%s%.9g", i ? ", " : "", query[i]);
        printf("], \"answers\": [");
        for (size_t i = 0; i < found; i++)
            printf("%s{\"row\": %zu, \"score\": %.9g}", i ? ", " : "", best[i].row, best[i].score);
        printf("]}\n");
        ((Release)api[RELEASE_VALUE])(images);
        ((Release)api[RELEASE_VALUE])(embeddings);
    }

    ((Release)api[RELEASE_MEMORY_INFO])(memory);
    ((Release)api[RELEASE_SESSION])(session);
    ((Release)api[RELEASE_SESSION_OPTIONS])(options);
    ((Release)api[RELEASE_ENV])(env);
    free(vectors);
    return EXIT_SUCCESS;
}
