// What the executor and the verbs share beyond core.h: the protocol between `start` and a waiting init. FROZEN, version 1.
#pragma once
#include <stdint.h>

#define START_VERSION 1
// `start` sends one request. Init answers with a MESSAGE_FAILURE and ends, or closes by executing the program.
struct start_request { uint32_t version, reserved; };

void handle_signal(int signal, void (*handler)(int));   // null: the default
int send_descriptor(int socket, const char *name, int fd);
