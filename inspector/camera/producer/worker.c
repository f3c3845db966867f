/* A thread for the calls to Aravis that wait for the camera, so that no caller of ours has to.
 *
 * Aravis asks a camera that does not answer again and again, for 2.5 s a register, and nothing cuts
 * that short. So such a call is a job for this thread: its caller waits until it is done or until the
 * camera is given up. A job that was left is cleaned up by the thread, whenever Aravis comes back.
 */
#include <stdlib.h>

#include "producer.h"

struct Worker {
    pthread_mutex_t mutex;
    pthread_cond_t wake, changed;
    pthread_t thread;
    Job *first, *last;
    bool given_up, ending, orphan;
};

static void worker_free(Worker *worker) {
    pthread_mutex_destroy(&worker->mutex);
    pthread_cond_destroy(&worker->wake);
    pthread_cond_destroy(&worker->changed);
    free(worker);
}

static void carry_out(Worker *worker, Job *job) { /* the worker is locked */
    if (!job->left) {
        pthread_mutex_unlock(&worker->mutex);
        job->run(job);
        pthread_mutex_lock(&worker->mutex);
    }
    job->done = true;
    if (job->left) {
        pthread_mutex_unlock(&worker->mutex);
        job->discard(job);
        pthread_mutex_lock(&worker->mutex);
    }
    pthread_cond_broadcast(&worker->changed);
}

static void *work(void *context) {
    Worker *worker = context;
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        while (!worker->first && !worker->ending) pthread_cond_wait(&worker->wake, &worker->mutex);
        Job *job = worker->first;
        if (!job) break;
        worker->first = job->next;
        carry_out(worker, job);
    }
    bool orphan = worker->orphan;
    pthread_mutex_unlock(&worker->mutex);
    if (orphan) worker_free(worker);
    return NULL;
}

Worker *worker_new(void) {
    Worker *worker = calloc(1, sizeof *worker);
    if (!worker) return NULL;
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->wake, NULL);
    pthread_cond_init(&worker->changed, NULL);
    if (pthread_create(&worker->thread, NULL, work, worker) == 0) return worker;
    worker_free(worker);
    return NULL;
}

void worker_post(Worker *worker, Job *job) {
    job->next = NULL;
    job->done = job->left = false;
    pthread_mutex_lock(&worker->mutex);
    if (worker->first) worker->last->next = job;
    else worker->first = job;
    worker->last = job;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
}

bool worker_done(Worker *worker, Job *job) {
    pthread_mutex_lock(&worker->mutex);
    bool done = job->done;
    pthread_mutex_unlock(&worker->mutex);
    return done;
}

void worker_leave(Worker *worker, Job *job) {
    pthread_mutex_lock(&worker->mutex);
    bool done = job->done;
    job->left = true;
    pthread_mutex_unlock(&worker->mutex);
    if (done) job->discard(job);
}

bool worker_call(Worker *worker, Job *job) {
    worker_post(worker, job);
    pthread_mutex_lock(&worker->mutex);
    while (!job->done && !worker->given_up) pthread_cond_wait(&worker->changed, &worker->mutex);
    bool done = job->done;
    if (!done) job->left = true;
    pthread_mutex_unlock(&worker->mutex);
    return done;
}

void worker_give_up(Worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    worker->given_up = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

void worker_end(Worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    pthread_t thread = worker->thread;
    bool wait = !worker->given_up;
    worker->ending = true;
    worker->orphan = !wait;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
    if (!wait) {
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    worker_free(worker);
}
